import {
  type ConsumeFrom,
  QueueDataService,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { FollowedQueue } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { queueKeysMax } from "@qmtl/core/queues";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Clock, sleep } from "@qmtl/service-kit";
import type { LiveRecord } from "../feed/record-hub.ts";
import { isTransient } from "../peers/breaker.ts";
import { callOf } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";

/** Largest number of queues that one stream follows. */
const followedMax = 100_000;
/** First and longest pause before the log is read again after an outage, milliseconds. */
const againMs = 100;
const againMsMax = 2_000;
/** Records of which nobody knows whether they were stored are looked for at this interval, and for this long, milliseconds. */
const unsureMs = 2_000;
const unsureMsMax = 30_000;

interface FollowedPorts {
  readonly dag: Pick<Peer, "stream">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Sends records that were read from the log; resolves when there is room for more. */
  send(records: readonly QueueRecord[]): Promise<void>;
  /** The log does not have what is read: reading again cannot help. */
  fail(failure: unknown): void;
}

/** How far one queue has been sent. */
interface SentState {
  /** Epoch of the last START sent; 0 before the first. */
  epoch: number;
  /** Seq of the next record; undefined before the first, for a reader that begins at a row. */
  nextSeq: number | undefined;
  readonly fromRow: bigint | undefined;
  /** The log has to be read: what comes live meanwhile is not passed on. */
  mustRead: boolean;
  isReading: boolean;
}

/**
 * The queues that one stream follows. A queue is sent from the log first, and then as its records become effective; one
 * whose next record is not the expected one is read from the log again, so nothing is skipped.
 */
export class QueueFollower {
  readonly #ports: FollowedPorts;
  readonly #context: CallContext;
  readonly #queues = new Map<string, SentState>();
  #isRunning = false;
  /** Until when queues are looked at again, monotonic milliseconds. */
  readonly #unsureUntilMs = new Map<string, number>();
  #isLooking = false;

  constructor(ports: FollowedPorts, context: CallContext) {
    this.#ports = ports;
    this.#context = context;
  }

  get keys(): Iterable<string> {
    return this.#queues.keys();
  }

  /** @throws {QmtlError} TOO_MANY_REQUESTS. */
  follow(queues: readonly FollowedQueue[]): void {
    for (const { computeKey, position } of queues) {
      const isAt = position.case === "fromSeq";
      this.#queues.set(computeKey, {
        epoch: 0,
        nextSeq: isAt ? Number(position.value) : undefined,
        fromRow: position.case === "fromRow" ? position.value : undefined,
        mustRead: true,
        isReading: false,
      });
    }
    if (this.#queues.size > followedMax) {
      const message = `a stream follows ${followedMax} queues at most`;
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 1_000 });
    }
    this.#read();
  }

  unfollow(computeKeys: readonly string[]): void {
    for (const key of computeKeys) this.#queues.delete(key);
  }

  /** Of these records those that are to be sent now. */
  next(records: readonly LiveRecord[]): QueueRecord[] {
    const out: QueueRecord[] = [];
    for (const { record, seq } of records) {
      const queue = this.#queues.get(record.computeKey);
      if (queue === undefined) continue;
      if (queue.isReading || queue.mustRead) queue.mustRead = true;
      else if (isSent(queue, record, seq)) continue;
      else if (queue.nextSeq === undefined || queue.nextSeq === seq) {
        if (advance(queue, record, seq)) out.push(record);
        else queue.mustRead = true;
      } else queue.mustRead = true;
      if (queue.mustRead) this.#read();
    }
    return out;
  }

  /** Reads these queues in the log again. */
  lookAgain(computeKeys: readonly string[]): void {
    for (const key of computeKeys) {
      const queue = this.#queues.get(key);
      if (queue !== undefined) queue.mustRead = true;
    }
    this.#read();
  }

  /** The same, and again for 30 s: what was on its way to the log may come to it that much later. */
  keepLooking(computeKeys: readonly string[]): void {
    const untilMs = this.#ports.clock.monotonicMs() + unsureMsMax;
    for (const key of computeKeys) if (this.#queues.has(key)) this.#unsureUntilMs.set(key, untilMs);
    this.lookAgain(computeKeys);
    if (this.#isLooking || this.#unsureUntilMs.size === 0) return;
    this.#isLooking = true;
    void this.#look();
  }

  async #look(): Promise<void> {
    const { clock, signal } = this.#ports;
    while (this.#unsureUntilMs.size > 0) {
      await sleep(clock, unsureMs, signal);
      if (signal.aborted) break;
      this.lookAgain([...this.#unsureUntilMs.keys()]);
      const nowMs = clock.monotonicMs();
      for (const [key, untilMs] of this.#unsureUntilMs)
        if (untilMs <= nowMs) this.#unsureUntilMs.delete(key);
    }
    this.#isLooking = false;
  }

  #read(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    Promise.resolve()
      .then(() => this.#readAll())
      .catch((failure: unknown) => this.#ports.fail(failure))
      .finally(() => {
        this.#isRunning = false;
        // Asked for between the end of the reading and this.
        const isWanted = [...this.#queues.values()].some(({ mustRead }) => mustRead);
        if (isWanted && !this.#ports.signal.aborted) this.#read();
      });
  }

  async #readAll(): Promise<void> {
    const { signal, clock } = this.#ports;
    let failures = 0;
    while (!signal.aborted) {
      const wanted = [...this.#queues].filter(([, queue]) => queue.mustRead);
      if (wanted.length === 0) return;
      const some = wanted.slice(0, queueKeysMax);
      for (const [, queue] of some) {
        queue.mustRead = false;
        queue.isReading = true;
      }
      try {
        await this.#readSome(some);
        failures = 0;
      } catch (failure) {
        if (signal.aborted) return;
        if (hasReason(failure, "QUEUE_NOT_FOUND", "TRIMMED") || !isTransient(failure))
          throw failure;
        for (const [, queue] of some) queue.mustRead = true;
        failures += 1;
        await sleep(clock, Math.min(againMsMax, againMs * 2 ** (failures - 1)), signal);
      } finally {
        for (const [, queue] of some) queue.isReading = false;
      }
    }
  }

  async #readSome(queues: readonly (readonly [string, SentState])[]): Promise<void> {
    const { dag, signal, send } = this.#ports;
    const keys = queues.map(([computeKey, { nextSeq, fromRow }]) => ({
      computeKey,
      position: positionOf(nextSeq, fromRow),
    }));
    const call = { ...callOf(this.#context), signal };
    const request = { keys, historyOnly: true };
    for await (const { records } of dag.stream(QueueDataService.method.consume, request, call)) {
      const unsent = records.filter((record) => {
        const queue = this.#queues.get(record.computeKey);
        const seq = record.body.case === "start" ? undefined : Number(record.seq);
        return queue !== undefined && !isSent(queue, record, seq) && advance(queue, record, seq);
      });
      if (unsent.length > 0) await send(unsent);
    }
  }
}

function positionOf(nextSeq: number | undefined, fromRow: bigint | undefined) {
  const position: Pick<ConsumeFrom, "position">["position"] =
    nextSeq === undefined
      ? { case: "fromRow", value: fromRow ?? 0n }
      : { case: "fromSeq", value: BigInt(nextSeq) };
  return position;
}

function isSent(queue: SentState, record: QueueRecord, seq: number | undefined): boolean {
  if (record.body.case === "start") return Number(record.leaseEpoch) <= queue.epoch;
  return queue.nextSeq !== undefined && (seq ?? 0) + lengthOf(record) <= queue.nextSeq;
}

/** Moves past a record; false for one of an epoch whose START was not sent. A START read in the log states no seq. */
function advance(queue: SentState, record: QueueRecord, seq: number | undefined): boolean {
  const epoch = Number(record.leaseEpoch);
  if (record.body.case === "start") {
    queue.epoch = epoch;
    queue.nextSeq ??= seq;
    return true;
  }
  if (epoch !== queue.epoch) return false;
  queue.nextSeq = (seq ?? 0) + lengthOf(record);
  return true;
}

function lengthOf({ body }: QueueRecord): number {
  return body.case === "rows" ? body.value.count : 1;
}
