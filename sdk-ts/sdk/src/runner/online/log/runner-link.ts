import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  RecordFault,
  type QueueRecord as WireRecord,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type {
  FrameRefusal,
  OwnerFrame,
  RunnerFrameSchema,
  RunnerService,
  Slice,
  Taken,
  Voided,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { type TargetUpdate, TargetUpdateSchema } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import { inChunks, queueKeysMax } from "@qmtl/core/queues";
import { pause, type SdkClock, type SdkTimer } from "../../../control/clock.ts";
import type { TicketKeeper } from "../../../control/ticket-keeper.ts";
import { hasReason, QmtlError, reasonName } from "../../../rpc/index.ts";
import type { RunReports } from "../session/run-reporter.ts";
import { FrameQueue } from "./frame-queue.ts";
import type { QueueReplica } from "./queue-replica.ts";
import { ResendBuffer } from "./resend-buffer.ts";
import { type CarriedRecord, wireRecord } from "./wire-records.ts";

interface RunnerLinkOptions {
  readonly runners: Client<typeof RunnerService>;
  readonly clock: SdkClock;
  readonly tickets: Pick<TicketKeeper, "ensure" | "drop" | "ticket">;
  readonly reports: Pick<RunReports, "problem">;
  readonly listener: LinkListener;
}

/** Notified of what the owner of the timeline reports. Implemented by `RunParts`. */
export interface LinkListener {
  /** A record is not effective and never will be. */
  recordRefused(fault: RecordFault): void;
  /** The owner may not know the last end: it is another than before, or asks for it. */
  endWanted(): void;
  /** The link cannot be used: attaching again cannot help. */
  linkRefused(failure: QmtlError): void;
}

/** A queue that is read, with the position of its fold. Implemented by `QueueReplica`. */
export interface ReadKey {
  readonly computeKey: string;
  /** Seq of the next effective record; 0 reads from the first. */
  readonly nextSeq: number;
  /** If set, reading begins at this row instead. */
  readonly fromRow?: number | undefined;
  /** Takes how far a feed stands; see `QueueReplica.takeWatermark`. */
  takeWatermark?(source: string, row: number, timeMs: number): void;
}

/** Follows queues over the link. */
interface LinkReader {
  readonly keys: readonly ReadKey[];
  /** Takes the records of one frame, in order; none when a feed is known to stand further. */
  onRecords(records: readonly WireRecord[]): void;
}

type FrameBody = NonNullable<MessageInitShape<typeof RunnerFrameSchema>["body"]>;

/** A frame that is sent until it is answered. */
interface AskedFrame<T> {
  readonly body: FrameBody;
  resolve(answer: T): void;
  reject(failure: unknown): void;
}

/** First and longest wait before attaching again, milliseconds. */
const againMs = 100;
const againMsMax = 4_000;
/** Interval at which the runner shows that it is alive, milliseconds. */
const aliveMs = 2_000;
/** A stream on which nothing comes for this long is opened again, milliseconds; the owner says something every 2 s. */
const silentMsMax = 30_000;
/** Longest wait until the owner has taken the last frames, milliseconds. */
const stopMsMax = 2_000;
/** First and longest wait before records that were not stored are sent again, milliseconds. */
const storeAgainMs = 100;
const storeAgainMsMax = 2_000;

/** Program of this runner, for the gateway's log. */
const program = "qmtl-sdk-ts";

/**
 * The stream between a runner and the owner of its timeline: what the runner holds and computes goes out, and what it
 * reads comes in. After a break it attaches again, follows from where it was, and sends again what was not answered.
 */
export class RunnerLink {
  readonly #options: RunnerLinkOptions;
  readonly #stop = new AbortController();
  readonly #readers = new Map<string, Set<LinkReader>>();
  readonly #unanswered = new ResendBuffer();
  readonly #ends = new Map<bigint, AskedFrame<Taken>>();
  readonly #readies = new Map<bigint, AskedFrame<void>>();
  #number = 0n;
  #frames: FrameQueue | undefined;
  #call: AbortController | undefined;
  #isUp = false;
  #hasAttached = false;
  #storeFailures = 0;
  #loop: Promise<void> = Promise.resolve();
  #alive: SdkTimer | undefined;

  constructor(options: RunnerLinkOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
    this.#aliveSoon();
  }

  /** Sends the last frames, and ends the stream. */
  async stop(): Promise<void> {
    const { clock } = this.#options;
    this.#alive?.cancel();
    this.#stop.abort();
    this.#frames?.end();
    const timer = clock.setTimer(() => this.#call?.abort(), this.#isUp ? stopMsMax : 0);
    await this.#loop;
    timer.cancel();
    const gone = new QmtlError("OUTCOME_UNKNOWN", "the run has stopped");
    for (const { reject } of [...this.#ends.values(), ...this.#readies.values()]) reject(gone);
  }

  /** Sends records of a queue that the session holds; one that was sent and is not answered is not sent twice. */
  publish(replica: QueueReplica, records: readonly CarriedRecord[]): void {
    const { computeKey, identity } = replica;
    const wire = records.map((record) => wireRecord(computeKey, record));
    const fresh = this.#unanswered.add(computeKey, wire, identity.isSource);
    this.#frames?.records(fresh, identity.isSource);
  }

  /** Takes back what was sent of these feeds and has not passed. */
  withdraw(replicas: Iterable<QueueReplica>): void {
    const computeKeys = [...replicas].map(({ computeKey }) => computeKey);
    for (const key of computeKeys) this.#unanswered.forget(key);
    for (const chunk of inChunks(computeKeys, queueKeysMax))
      this.#frames?.push({ case: "withdraw", value: { computeKeys: chunk } });
  }

  /** Passes new records of these queues on, from their positions on. @returns what ends that */
  follow(reader: LinkReader): () => void {
    for (const { computeKey } of reader.keys) {
      const readers = this.#readers.get(computeKey) ?? new Set();
      this.#readers.set(computeKey, readers.add(reader));
    }
    this.#follow(reader.keys.map(({ computeKey }) => computeKey));
    return () => this.#leave(reader);
  }

  /** Makes feeds wait for this session. @throws {QmtlError} what the gateway answered */
  ready(sources: readonly string[], signal: AbortSignal): Promise<void> {
    this.#number += 1n;
    const body = { case: "ready" as const, value: { number: this.#number, sources: [...sources] } };
    return this.#ask(this.#readies, this.#number, body, signal);
  }

  /** No feed waits for this session any longer. */
  leaveFeeds(): void {
    this.#frames?.push({ case: "leave", value: {} });
  }

  /**
   * Ends rows, with the targets decided there; sent until it is answered.
   *
   * @throws {QmtlError} what the gateway answered: the end is to be stated again
   */
  async end(
    update: MessageInitShape<typeof TargetUpdateSchema>,
    signal: AbortSignal,
  ): Promise<Taken> {
    this.#number += 1n;
    const stated: TargetUpdate = create(TargetUpdateSchema, update);
    const body = { case: "end" as const, value: { number: this.#number, update: stated } };
    return await this.#ask(this.#ends, this.#number, body, signal);
  }

  #ask<T>(
    asked: Map<bigint, AskedFrame<T>>,
    number: bigint,
    body: FrameBody,
    signal: AbortSignal,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const over = (finish: () => void): void => {
        asked.delete(number);
        signal.removeEventListener("abort", given);
        finish();
      };
      const given = (): void => over(() => reject(signal.reason));
      asked.set(number, {
        body,
        resolve: (answer) => over(() => resolve(answer)),
        reject: (failure) => over(() => reject(failure)),
      });
      signal.addEventListener("abort", given, { once: true });
      if (signal.aborted) given();
      else this.#frames?.push(body);
    });
  }

  #follow(computeKeys: readonly string[]): void {
    const queues = computeKeys.flatMap((computeKey) => {
      const keys = this.#keysOf(computeKey);
      return keys.length === 0 ? [] : [{ computeKey, position: positionOf(keys) }];
    });
    for (const chunk of inChunks(queues, queueKeysMax))
      this.#frames?.push({ case: "follow", value: { queues: chunk } });
  }

  #leave(reader: LinkReader): void {
    const left: string[] = [];
    for (const { computeKey } of reader.keys) {
      const readers = this.#readers.get(computeKey);
      if (readers?.delete(reader) !== true || readers.size > 0) continue;
      this.#readers.delete(computeKey);
      left.push(computeKey);
    }
    for (const computeKeys of inChunks(left, queueKeysMax))
      this.#frames?.push({ case: "unfollow", value: { computeKeys } });
  }

  #keysOf(computeKey: string): ReadKey[] {
    return [...(this.#readers.get(computeKey) ?? [])].flatMap(({ keys }) =>
      keys.filter((key) => key.computeKey === computeKey),
    );
  }

  async #run(): Promise<void> {
    const { clock, tickets, reports, listener } = this.#options;
    const stop = this.#stop.signal;
    let failures = 0;
    while (!stop.aborted) {
      const call = new AbortController();
      this.#call = call;
      let ticket = "";
      try {
        await tickets.ensure(stop);
        ticket = tickets.ticket;
        await this.#attach(call.signal);
        failures = 0;
        if (!stop.aborted) await pause(clock, againMs, stop);
      } catch (failure) {
        if (stop.aborted) return;
        const refusal = refusalForGood(failure);
        if (refusal !== undefined) {
          listener.linkRefused(refusal);
          return;
        }
        failures = this.#isUp ? 1 : failures + 1;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) tickets.drop(ticket);
        else reports.problem(failure instanceof Error ? failure.message : String(failure));
        await pause(clock, Math.min(againMsMax, againMs * 2 ** (failures - 1)), stop);
      } finally {
        this.#isUp = false;
        this.#frames = undefined;
        call.abort();
      }
    }
  }

  async #attach(signal: AbortSignal): Promise<void> {
    const { runners, clock, tickets } = this.#options;
    const frames = new FrameQueue(() => tickets.ticket);
    this.#frames = frames;
    this.#isUp = false;
    frames.push({ case: "hello", value: { program } });
    this.#follow([...this.#readers.keys()]);
    const { offered, computed } = this.#unanswered.all();
    frames.records(offered, true);
    frames.records(computed, false);
    for (const { body } of [...this.#readies.values(), ...this.#ends.values()]) frames.push(body);
    const end = (): void => this.#call?.abort();
    let watch = clock.setTimer(end, silentMsMax);
    try {
      for await (const frame of runners.attach(frames, { signal })) {
        watch.cancel();
        watch = clock.setTimer(end, silentMsMax);
        this.#take(frame);
      }
    } finally {
      watch.cancel();
    }
  }

  #take({ body }: OwnerFrame): void {
    const { listener } = this.#options;
    switch (body.case) {
      case "welcome":
        this.#isUp = true;
        // A new owner knows no ends, and the answer to one that is under way is still to come.
        if (this.#hasAttached && this.#ends.size === 0) listener.endWanted();
        this.#hasAttached = true;
        break;
      case "slice":
        this.#read(body.value.records, body.value);
        break;
      case "share":
        this.#read(body.value.records);
        break;
      case "taken": {
        const { number, refusal } = body.value;
        const asked = this.#ends.get(number);
        if (refusal === undefined) asked?.resolve(body.value);
        else asked?.reject(errorOf(refusal));
        break;
      }
      case "counted": {
        const { number, refusal } = body.value;
        const asked = this.#readies.get(number);
        if (refusal === undefined) asked?.resolve();
        else asked?.reject(errorOf(refusal));
        break;
      }
      case "voided":
        this.#voided(body.value);
        break;
      case "restate":
        listener.endWanted();
        break;
      case "dropped": {
        const { offered } = this.#unanswered.all();
        this.#frames?.records(offered, true);
        break;
      }
      case "takenBack":
      case undefined:
        break;
    }
  }

  #read(records: readonly WireRecord[], slice?: Slice): void {
    const own = new Map<LinkReader, WireRecord[]>();
    for (const { source, row, time } of slice?.watermarks ?? []) {
      const timeMs = time === undefined ? Number.NEGATIVE_INFINITY : timestampMs(time);
      for (const readers of this.#readers.values()) {
        for (const reader of readers) {
          for (const key of reader.keys) key.takeWatermark?.(source, Number(row), timeMs);
          own.set(reader, []);
        }
      }
    }
    for (const record of records) {
      for (const reader of this.#readers.get(record.computeKey) ?? []) {
        const given = own.get(reader);
        if (given === undefined) own.set(reader, [record]);
        else given.push(record);
      }
      this.#unanswered.read(record);
    }
    if (records.length > 0) this.#storeFailures = 0;
    for (const [reader, given] of own) reader.onRecords(given);
  }

  #voided({ records, refusal }: Voided): void {
    const { listener, reports, clock } = this.#options;
    const again: WireRecord[] = [];
    for (const { computeKey, leaseEpoch, seq, start, fault } of records) {
      const record = this.#unanswered.find(computeKey, { leaseEpoch, seq, start });
      if (record === undefined) continue;
      if (refusal !== undefined || fault === RecordFault.HELD) again.push(record);
      else {
        this.#unanswered.answered(record);
        listener.recordRefused(fault);
      }
    }
    if (again.length === 0) return;
    if (refusal !== undefined) reports.problem(errorOf(refusal).message);
    const waitMs = Math.min(storeAgainMsMax, storeAgainMs * 2 ** this.#storeFailures++);
    const frames = this.#frames;
    void pause(clock, waitMs, this.#stop.signal).then(() => {
      // After another break everything that is not answered was sent again.
      if (frames === undefined || this.#frames !== frames) return;
      for (const isFeed of [true, false])
        frames.records(
          again.filter((record) => this.#unanswered.has(record, isFeed)),
          isFeed,
        );
    });
  }

  #aliveSoon(): void {
    this.#alive = this.#options.clock.setTimer(() => {
      if (this.#isUp) this.#frames?.push({ case: "alive", value: {} });
      this.#aliveSoon();
    }, aliveMs);
  }
}

/** Where reading begins: at the lowest seq that is expected, or at a row if nothing was read yet. */
function positionOf(keys: readonly ReadKey[]) {
  const begun = keys.filter(({ fromRow }) => fromRow === undefined);
  if (begun.length > 0) {
    const seq = Math.min(...begun.map(({ nextSeq }) => nextSeq));
    return { case: "fromSeq" as const, value: BigInt(seq) };
  }
  const row = Math.min(...keys.map(({ fromRow = 0 }) => fromRow));
  return { case: "fromRow" as const, value: BigInt(row) };
}

function errorOf({ reason, code, message, fields, retryDelay }: FrameRefusal): QmtlError {
  return new QmtlError(reasonName(reason) ?? "BUG", message, {
    fields: fields.map(({ field, description }) => ({ field, description })),
    code,
    ...(retryDelay === undefined ? {} : { retryAfterMs: durationMs(retryDelay) }),
  });
}

/** The failure that ends the run, if attaching again cannot help. */
function refusalForGood(failure: unknown): QmtlError | undefined {
  if (hasReason(failure, "QUEUE_NOT_FOUND", "TRIMMED")) return failure;
  if (hasReason(failure, "CONFLICT")) {
    const message = `${failure.message}: another process runs with this session`;
    return new QmtlError("CONFLICT", message, { cause: failure });
  }
  if (hasReason(failure, "SCHEMA_VERSION_UNSUPPORTED", "FEATURE_NOT_BUILT", "METHOD_NOT_SERVED")) {
    const message = `this runner is of another version than the gateway: ${failure.message}`;
    return new QmtlError(failure.reason, message, { cause: failure });
  }
  return undefined;
}
