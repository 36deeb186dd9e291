import { toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type SubmitStrategyRequest,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { Submission } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type World, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { asOfNone, blake3Hex, jcs } from "@qmtl/core/canonical";
import { seriesProblem } from "@qmtl/core/metrics";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";
import { type CallContext, type Clock, failpoints } from "@qmtl/service-kit";
import { appendCountedEvent } from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";
import { type SourceKeys, sourceKeysOf } from "../feed/source-keys.ts";
import { bindingsOf } from "../peers/bindings-of.ts";
import { callOf } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import type { ControlOutbox } from "../ports.ts";
import { rememberRequest } from "../store/request-store.ts";
import { addSourceKeys } from "../store/source-key-store.ts";
import {
  putSubmission,
  readSubmission,
  type SubmissionRow,
  sourcesReadBy,
  strategiesOnTheirWay,
} from "../store/submission-store.ts";
import { clockRevisions, takeClocks } from "../store/world-clock-store.ts";
import { checkClocks, isReplayed } from "./check-clocks.ts";
import { checkGraph, submissionBytesMax } from "./check-graph.ts";
import { insertSubmission, type NewSubmission } from "./store-submission.ts";
import { submissionMessage } from "./submission-message.ts";
import { submissionChange } from "./submission-topic.ts";
import type { SubmissionWorker } from "./submission-worker.ts";

/** Largest number of bytes of a submission's metadata, keys and values together. */
const metadataBytesMax = 16 * 1024;
/** How often a submission is checked against the other strategies of its worlds before it is refused. */
const clockTriesMax = 10;

export interface SubmissionPorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly world: Peer;
  readonly keys: SourceKeys;
  readonly config: QmtlConfig;
  /** The store epoch of the gateway's topics. */
  readonly storeEpoch: () => Promise<number>;
  readonly worker: SubmissionWorker;
  readonly outbox: Pick<ControlOutbox, "pokeSoon">;
}

interface AcceptedSubmission {
  readonly submission: Submission;
  readonly duplicate: boolean;
}

/**
 * Checks a submission whole and stores it; the diff follows by itself. The same graph for the same worlds is one
 * submission: submitted again, its contexts and queues are read again.
 *
 * @throws {QmtlError} as GatewayService.SubmitStrategy says; nothing is stored then.
 */
export async function acceptSubmission(
  ports: SubmissionPorts,
  request: SubmitStrategyRequest,
  context: CallContext,
): Promise<AcceptedSubmission> {
  checkRequest(request);
  const nodes = request.graph!.nodes;
  checkGraph(request.graph!);
  const worlds = await readWorlds(ports.world, request.worldIds, context);
  const check = () => checkClocks({ ...ports, readIn: sourcesIn(ports, context) }, nodes, worlds);
  await check();
  const { principal } = context;
  const strategyId = strategyIdOf(
    request.strategyName,
    nodes.map((node) => node.nodeId),
  );
  const submissionId = submissionIdOf(strategyId, request.worldIds);
  const row = { submissionId, strategyId, worldIds: request.worldIds, principal, request };
  if (request.validateOnly) return dryRun(ports, row, context);
  const contentHash = contentHashOf(request);
  const sourceKeys = sourceKeysOf(nodes);
  const remembered = { requestId: request.requestId, contentHash, submissionId };
  await failpoints.hit("gw.submit.before_commit");
  const clock = { isReplay: isReplayed(ports.config, nodes), worldIds: row.worldIds };
  let accepted = await store(ports, {
    ...row,
    remembered,
    sourceKeys,
    clock: { ...clock, seen: {} },
  });
  // Another submission was stored since the check, or what it checked was stored by another process.
  for (let tries = 1; accepted === undefined; tries++) {
    if (tries > clockTriesMax) throw clocksChange();
    const seen = await clockRevisions(ports.db, row.worldIds);
    await ports.keys.load();
    await check();
    accepted = await store(ports, { ...row, remembered, sourceKeys, clock: { ...clock, seen } });
  }
  await failpoints.hit("gw.submit.after_commit");
  ports.keys.add(sourceKeys);
  ports.outbox.pokeSoon();
  return accepted;
}

/** Names the sources that are read in a world, by strategies that are bound to it or about to be. */
function sourcesIn({ db, world }: SubmissionPorts, context: CallContext) {
  return async (worldId: string): Promise<string[]> => {
    // In this order: one that is bound meanwhile is among the bindings.
    const onTheirWay = await strategiesOnTheirWay(db, worldId);
    const bindings = await bindingsOf(world, worldId, callOf(context));
    return sourcesReadBy(db, [...onTheirWay, ...bindings.map(({ strategyId }) => strategyId)]);
  };
}

function clocksChange(): QmtlError {
  const message = "other submissions change the clocks of these worlds at the same time";
  return new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 500 });
}

/** Stores a submission, new or known; undefined, with nothing stored, when the clock of a world is not to be had. */
async function store(
  ports: SubmissionPorts,
  submission: NewSubmission,
): Promise<AcceptedSubmission | undefined> {
  return (await insertAndBegin(ports, submission)) ?? (await putAgain(ports, submission));
}

/**
 * Stores a submission that is not known yet, and begins to work on it if there is room: then it is stored as claimed.
 * Undefined when it, or its request id, is known, or the clock of a world is not to be had.
 */
async function insertAndBegin(
  { db, clock, storeEpoch, worker }: SubmissionPorts,
  submission: NewSubmission,
): Promise<AcceptedSubmission | undefined> {
  const { submissionId } = submission;
  const epoch = await storeEpoch();
  const at = { nowMs: clock.nowMs(), storeEpoch: epoch };
  await using place = worker.reserve(submissionId);
  const stored = await insertSubmission(db, submission, place?.claim, at);
  if (stored === undefined) return undefined;
  if (place === undefined) worker.take(submissionId);
  else place.begin(stored);
  return { submission: submissionMessage(stored), duplicate: false };
}

/**
 * Begins another round of a submission, unless a repeated call finds its first one still being worked on. Undefined,
 * with nothing stored, when the clock of a world is not to be had.
 */
async function putAgain(
  { db, clock, worker }: SubmissionPorts,
  { remembered, sourceKeys, clock: clocks, ...row }: NewSubmission,
): Promise<AcceptedSubmission | undefined> {
  const { submissionId } = row;
  const put = db.transaction(async (tx) => {
    const nowMs = clock.nowMs();
    const isRepeat = await rememberRequest(tx, remembered, nowMs);
    const known = isRepeat ? await readSubmission(tx, submissionId) : undefined;
    // A repeated call whose first one is still being worked on joins it.
    if (known !== undefined && known.state !== "completed" && known.state !== "failed") {
      return { stored: known, duplicate: true };
    }
    if (!(await takeClocks(tx, clocks))) throw new ClockLost();
    await addSourceKeys(tx, sourceKeys);
    const stored = await putSubmission(tx, row, nowMs);
    await appendCountedEvent(tx, "gateway", submissionChange(stored), nowMs);
    return { stored, duplicate: stored.round > 1 };
  });
  const ended = await put.catch((failure: unknown) => {
    if (failure instanceof ClockLost) return undefined;
    throw failure;
  });
  if (ended === undefined) return undefined;
  worker.take(submissionId);
  return { submission: submissionMessage(ended.stored), duplicate: ended.duplicate };
}

/** Undoes the transaction of a submission whose worlds are not to be had. */
class ClockLost extends Error {
  override readonly name = "ClockLost";
}

function checkRequest(request: SubmitStrategyRequest): void {
  if (toBinary(SubmitStrategyRequestSchema, request).length > submissionBytesMax) {
    throw refusal("GRAPH_TOO_LARGE", "graph", `above ${submissionBytesMax} bytes`);
  }
  const entries = Object.entries(request.metadata);
  const bytes = entries.reduce((sum, [key, value]) => sum + Buffer.byteLength(key + value), 0);
  if (bytes > metadataBytesMax) {
    throw refusal("INVALID_FIELD", "metadata", `${bytes} bytes, at most ${metadataBytesMax}`);
  }
  checkData(request);
  checkTargets(request);
  checkBacktest(request);
}

/** @throws {QmtlError} WORLD_NOT_FOUND. */
async function readWorlds(
  peer: Peer,
  worldIds: readonly string[],
  context: CallContext,
): Promise<World[]> {
  const worlds: World[] = [];
  for (const worldId of worldIds) {
    const { world } = await peer.unary(WorldService.method.getWorld, { worldId }, callOf(context));
    if (world !== undefined) worlds.push(world);
  }
  return worlds;
}

async function dryRun(
  ports: SubmissionPorts,
  row: Pick<SubmissionRow, "submissionId" | "strategyId" | "worldIds" | "principal" | "request">,
  context: CallContext,
): Promise<AcceptedSubmission> {
  const known = await readSubmission(ports.db, row.submissionId);
  const submission = await ports.worker.preview(row, context.signal);
  return { submission, duplicate: known !== undefined };
}

/**
 * Checks what a submission says of its data: as_of, or a pin for each source of the graph and no other. Without worlds
 * nothing is computed, and pins may be missing.
 *
 * @throws {QmtlError} INVALID_FIELD; CONTEXT_INCOMPLETE when a source is not pinned.
 */
function checkData({ asOf, pins, graph, worldIds }: SubmitStrategyRequest): void {
  if (asOf === asOfNone) {
    throw refusal(
      "INVALID_FIELD",
      "as_of",
      `"${asOfNone}" is reserved for graphs that read no source`,
    );
  }
  if (asOf !== "" && pins.length > 0) {
    throw refusal(
      "INVALID_FIELD",
      "pins",
      "must be empty if as_of is set, which pins every source",
    );
  }
  const sources = new Set(
    graph!.nodes.flatMap((node) => (node.source === undefined ? [] : [node.source.source])),
  );
  const pinned = new Set<string>();
  pins.forEach(({ source }, at) => {
    const field = `pins[${at}].source`;
    if (!sources.has(source)) throw refusal("INVALID_FIELD", field, "is not a source of the graph");
    if (pinned.has(source)) throw refusal("INVALID_FIELD", field, "is pinned twice");
    pinned.add(source);
  });
  const missing = [...sources].find((source) => !pinned.has(source));
  if (missing === undefined || asOf !== "" || worldIds.length === 0) return;
  throw refusal(
    "CONTEXT_INCOMPLETE",
    "pins",
    `has no entry for source ${missing}, nor is as_of set`,
  );
}

/**
 * Checks the targets of a submission: nodes of the graph, at most one per instrument.
 *
 * @throws {QmtlError} INVALID_FIELD.
 */
function checkTargets({ targets, graph }: SubmitStrategyRequest): void {
  const nodes = new Set(graph!.nodes.map((node) => node.nodeId));
  const instruments = new Set<string>();
  targets.forEach(({ nodeId, instrument }, at) => {
    const field = `targets[${at}]`;
    if (!nodes.has(nodeId)) {
      throw refusal("INVALID_FIELD", `${field}.node_id`, "is not part of the graph");
    }
    if (instruments.has(instrument)) {
      throw refusal("INVALID_FIELD", `${field}.instrument`, "has another target");
    }
    instruments.add(instrument);
  });
}

/**
 * Checks the returns of a submission, which are reported to each of its worlds after it was accepted.
 *
 * @throws {QmtlError} INVALID_FIELD for another domain than that of a backtest; SERIES_INVALID.
 */
function checkBacktest({ backtest }: SubmitStrategyRequest): void {
  if (backtest === undefined) return;
  const { domain, interval, returns, bucketEndMs: bucketEnds, exposed } = backtest;
  if (domain !== ExecutionDomain.UNSPECIFIED && domain !== ExecutionDomain.BACKTEST)
    throw refusal("INVALID_FIELD", "backtest.domain", "must be BACKTEST, or not stated");
  if (returns.length === 0) return;
  const intervalMs = interval === undefined ? 0 : durationMs(interval);
  const problem = seriesProblem({ intervalMs, returns, bucketEnds, exposed }, false);
  if (problem === undefined) return;
  throw refusal("SERIES_INVALID", `backtest.${problem.field}`, problem.description);
}

/** A refusal that names its field. */
function refusal(reason: ReasonName, field: string, description: string): QmtlError {
  return new QmtlError(reason, `${field}: ${description}`, { fields: [{ field, description }] });
}

/** `"s-"` and the first 16 hex digits of BLAKE3 over JCS of name and sorted node ids: same graph and name, same id. */
function strategyIdOf(name: string, nodeIds: readonly string[]): string {
  return `s-${blake3Hex(jcs({ name, node_ids: [...nodeIds].sort() })).slice(0, 16)}`;
}

/** Id of a strategy's submission to a set of worlds; the order of the worlds does not matter. */
function submissionIdOf(strategyId: string, worldIds: readonly string[]): string {
  const world_ids = [...worldIds].sort();
  return `sub-${blake3Hex(jcs({ strategy_id: strategyId, world_ids })).slice(0, 16)}`;
}

/** Hash of what a request asks for: all of it but the request id and the versions the caller speaks. */
function contentHashOf(request: SubmitStrategyRequest): string {
  const content = { ...request, requestId: "" };
  delete content.schemaVersion;
  const metadata = Object.entries(request.metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  content.metadata = Object.fromEntries(metadata);
  return blake3Hex(toBinary(SubmitStrategyRequestSchema, content));
}
