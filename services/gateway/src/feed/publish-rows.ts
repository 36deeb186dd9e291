import {
  type PublishRequest,
  type PublishResult,
  QueueDataService,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { OfferedRow } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, failpoints } from "@qmtl/service-kit";
import { callOf } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import type { SourceValue } from "../ports.ts";
import type { SourceKey } from "../store/source-key-store.ts";
import { waitingTime } from "../waiting-time.ts";
import { barrierWaitMsMax, type WaitOptions } from "./offer-queue.ts";
import { passingParts } from "./passing-parts.ts";
import { type PublishPart, planPublish, rowOfRecord } from "./publish-plan.ts";
import type { LiveRecord, RecordHub } from "./record-hub.ts";
import type { ReplayFeeds } from "./replay-feeds.ts";
import type { SourceKeys } from "./source-keys.ts";

export interface PublishPorts {
  readonly dag: Pick<Peer, "unary" | "stream">;
  readonly keys: Pick<SourceKeys, "learn" | "replayKey" | "valuesOf">;
  readonly feeds: Pick<
    ReplayFeeds,
    "offer" | "effective" | "feedEnded" | "refresh" | "showAgain" | "lookAgain"
  >;
  readonly live: Pick<RecordHub, "appended" | "hold" | "unsure">;
}

/** Records, and the ticket of the session that publishes them. */
export type TicketedBatch = Pick<PublishRequest, "ticket"> & {
  readonly records: readonly QueueRecord[];
  /** Takes the log's answer to one record of the request, or to the last row of it, before the answer to all. */
  readonly answered?: (index: number, result: PublishResult) => void;
};

/**
 * Passes records on to the log. Rows of replay sources wait at the barrier of their timeline; once all rows of their
 * slice are effective they are booked, before the answer. Everything else goes straight through. What became effective is
 * passed on to those that follow the queues.
 *
 * @throws {QmtlError} TICKET_SCOPE for a row of a feed that the session may not publish: it is refused before it waits,
 *   for it would take the place of the right one. BARRIER_HELD when a row was held for too long: nothing of it is lost,
 *   send it again.
 */
export async function publishRows(
  ports: PublishPorts,
  request: TicketedBatch,
  context: CallContext,
): Promise<{ results: PublishResult[] }> {
  const { records, answered } = request;
  await ports.keys.learn(records.map(({ computeKey }) => computeKey));
  const keyOf = (computeKey: string) => ports.keys.replayKey(computeKey);
  for (const { computeKey } of records) checkFeed(keyOf(computeKey), context);
  if (!records.some(({ computeKey }) => keyOf(computeKey) !== undefined)) {
    const { results } = await append(ports, request, context);
    passOn(ports, records, results);
    for (const [index, result] of results.entries()) answered?.(index, result);
    return { results };
  }
  const results: PublishResult[] = [];
  const broken = new Set<string>();
  // After a void record, those behind it in its queue are void under its epoch, too: they need not wait.
  const isBroken = (part: PublishPart) =>
    part.records.every((record) => broken.has(claimOf(record)));
  const options = waitOptions(context);
  const parts = planPublish(records, keyOf);
  for await (const part of passingParts(ports.feeds, parts, options, isBroken)) {
    const answer = await append(ports, { ...request, records: part.records }, context);
    await failpoints.hit("gw.publish.after_append");
    part.indexes.forEach((index, at) => {
      const result = answer.results[at];
      results[index] = worse(results[index], result);
      if (result?.effective === false) broken.add(claimOf(part.records[at]!));
    });
    await takeEffective(ports, part, answer.results, context);
    part.indexes.forEach((index, at) => {
      if (endSeq(part.records[at]!) === endSeq(records[index]!)) answered?.(index, results[index]!);
    });
  }
  return { results };
}

/**
 * A record that may be in the log is followed to its end, whether or not its sender still waits for the answer, and
 * whether or not the log answers: without an answer it is looked for there.
 */
async function append(
  { dag, live, keys, feeds }: PublishPorts,
  { ticket, records }: TicketedBatch,
  context: CallContext,
): Promise<{ results: PublishResult[] }> {
  const call = { ...callOf(context), signal: undefined };
  try {
    return await dag.unary(
      QueueDataService.method.publish,
      { ticket, records: [...records] },
      call,
    );
  } catch (failure) {
    live.unsure(records.map(({ computeKey }) => computeKey));
    for (const { computeKey } of records) {
      const source = keys.replayKey(computeKey)?.source;
      if (source !== undefined) feeds.lookAgain(source);
    }
    throw failure;
  }
}

/** Passes on the records that are effective. Of a run that is not, a part may be: only the log knows. */
function passOn(
  { live }: PublishPorts,
  records: readonly QueueRecord[],
  results: readonly PublishResult[],
): void {
  live.appended(
    records.flatMap((record, at) => {
      const result = results[at];
      return result?.effective === true ? [liveRecord(record, result)] : [];
    }),
  );
  live.unsure(
    records.flatMap(({ computeKey, body }, at) => {
      const isRun = body.case === "rows" && body.value.count > 1;
      return isRun && results[at]?.effective !== true ? [computeKey] : [];
    }),
  );
}

function claimOf({ computeKey, leaseEpoch }: QueueRecord): string {
  return `${computeKey}/${leaseEpoch}`;
}

/** Seq after a record, the last one of a run. */
function endSeq({ seq, body }: QueueRecord): bigint {
  return seq + (body.case === "rows" ? BigInt(body.value.count) : 1n);
}

function liveRecord(record: QueueRecord, { state }: PublishResult): LiveRecord {
  const isStart = record.body.case === "start";
  return { record, seq: Number(isStart ? state?.nextSeq : record.seq) };
}

function checkFeed(key: SourceKey | undefined, { session }: CallContext): void {
  if (key === undefined) return;
  const { source, computeKey } = key;
  if (session?.rights.includes("feed") === true && session.sources.includes(source)) return;
  throw new QmtlError("TICKET_SCOPE", `the ticket does not cover FEED of source ${source}`, {
    metadata: { source, compute_key: computeKey },
  });
}

/** Rows are not held so long that the caller's deadline passes first. */
function waitOptions(context: CallContext): WaitOptions {
  const { signal, session } = context;
  return { waitMs: waitMsOf(context), signal, sessionId: session?.sessionId ?? "" };
}

function waitMsOf({ timeoutMs }: CallContext): number {
  return Math.min(barrierWaitMsMax, waitingTime(timeoutMs));
}

/** Tells the timeline what became effective, and waits until the slice of the row is booked. */
async function takeEffective(
  ports: PublishPorts,
  part: PublishPart,
  results: readonly PublishResult[],
  context: CallContext,
): Promise<void> {
  const values: SourceValue[] = [];
  const begun = new Set<string>();
  const ended = new Set<string>();
  let last: OfferedRow | undefined;
  let isEmpty = false;
  part.records.forEach((record, at) => {
    const key = ports.keys.replayKey(record.computeKey);
    const result = results[at];
    if (result?.effective !== true) return;
    const isRow = record.body.case === "rows" || record.body.case === "empty";
    if (key === undefined || part.wait === undefined || !isRow) passOn(ports, [record], [result]);
    else ports.live.hold(key.source, part.wait.row.toRow, liveRecord(record, result));
    if (key === undefined) return;
    const { body } = record;
    if (body.case === "start") begun.add(key.source);
    else if (body.case === "end") ended.add(key.source);
    else last = rowOfRecord(record) ?? last;
    if (body.case === "empty") isEmpty = true;
    values.push(...ports.keys.valuesOf(key, record));
  });
  // The first START of a feed states where its rows begin.
  if (begun.size > 0) await ports.feeds.refresh();
  if (part.wait !== undefined && last !== undefined) {
    const { source, row: first } = part.wait;
    const row = { ...last, row: first.row };
    await ports.feeds.effective(source, row, values, { isEmpty, waitMs: waitMsOf(context) });
    ports.feeds.showAgain(source);
  }
  for (const source of ended) await ports.feeds.feedEnded(source);
}

/** The result of a run is that of its first row that was not effective. */
function worse(a: PublishResult | undefined, b: PublishResult | undefined): PublishResult {
  const last = b ?? a;
  if (last === undefined) throw new QmtlError("BUG", "the log gave no result for a record");
  return a !== undefined && !a.effective ? a : last;
}
