import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { QueueRecord, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { SetTargetsResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type {
  FrameRefusalSchema,
  OwnerFrameSchema,
  RunnerFrame,
  SliceEnd,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import type { TargetUpdate } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import { inChunks } from "@qmtl/core/queues";
import { QmtlError, qmtlErrorFrom, reasonToProto } from "@qmtl/sdk/rpc";
import {
  type CallContext,
  type Clock,
  type ClockTimer,
  type Logger,
  PushStream,
  refusalFrom,
  type SessionScope,
} from "@qmtl/service-kit";
import type { PublishPorts } from "../feed/publish-rows.ts";
import type { LiveReader, LiveRecord, RecordHub } from "../feed/record-hub.ts";
import type { ReplayFeeds } from "../feed/replay-feeds.ts";
import type { WatermarkReader } from "../feed/watermark-registry.ts";
import { OfferIntake } from "./offer-intake.ts";
import { QueueFollower } from "./queue-follower.ts";

type OwnerFrame = MessageInitShape<typeof OwnerFrameSchema>;

/** The calls that frames stand for. */
interface RunnerCalls {
  /** SetTargets. */
  setTargets(
    update: TargetUpdate,
    session: SessionScope,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>>;
  /** CreateReplayRunner. */
  enter(ticket: string, sources: readonly string[], context: CallContext): Promise<unknown>;
  /** DeleteReplayRunner, of all feeds. */
  leave(ticket: string, context: CallContext): Promise<unknown>;
}

export interface StreamPorts {
  readonly publish: PublishPorts;
  readonly feeds: Pick<ReplayFeeds, "heard" | "follow">;
  readonly live: Pick<RecordHub, "follow" | "unfollow" | "isAwaited">;
  readonly calls: RunnerCalls;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Frames that may wait for a runner that does not read; beyond it the stream ends. */
const framesMax = 4_096;
/** Frames with records read from the log wait while so many others do. */
const historyFramesMax = 64;
/** Largest number of records in one frame of a slice, or a batch; a larger one comes in several. */
const sliceRecordsMax = 4_096;
/** Slice ends that may wait for their answer. */
const endsMax = 64;
/** Longest silence of the owner, milliseconds. */
const keepAliveMs = 2_000;

/** One runner's stream: translates its frames into the calls that they stand for, and tells it what it follows. */
export class RunnerStream implements LiveReader {
  /** What the runner is sent. */
  readonly frames: PushStream<OwnerFrame>;
  readonly sessionId: string;
  readonly #ports: StreamPorts;
  readonly #context: CallContext;
  readonly #followed: QueueFollower;
  readonly #offered: OfferIntake;
  readonly #closed = new AbortController();
  #watermarks: WatermarkReader | undefined;
  #sources: ReadonlySet<string> = new Set();
  #slice: { timeMs: number; records: QueueRecord[] } | undefined;
  #isFlushing = false;
  #ends = 0;
  #ticket = "";
  #isDropped = false;
  #keepAlive: ClockTimer | undefined;

  constructor(ports: StreamPorts, context: CallContext) {
    this.#ports = ports;
    this.#context = context;
    this.sessionId = sessionOf(context).sessionId;
    this.frames = new PushStream({ itemsMax: framesMax, onEnd: () => this.#close() });
    const { clock, publish } = ports;
    const { signal } = this.#closed;
    this.#followed = new QueueFollower(
      {
        dag: publish.dag,
        clock,
        signal,
        send: async (records) => {
          this.#send({ case: "share", value: { records: [...records] } });
          await this.frames.room(historyFramesMax);
        },
        fail: (failure) => this.frames.fail(failure),
      },
      context,
    );
    this.#offered = new OfferIntake({
      publish,
      context,
      clock,
      ticket: () => this.#ticket,
      voided: (records, refusal) => this.#voided(records, refusal),
    });
    // A session that was dropped begins to come back with its hello.
    ports.feeds.heard(this.sessionId);
    this.#send({ case: "welcome", value: { sessionId: this.sessionId } });
    this.#keepAliveSoon();
  }

  /**
   * Takes a frame of the runner, after the hello.
   *
   * @throws {QmtlError} INVALID_FIELD for a frame out of order; TOO_MANY_REQUESTS.
   */
  async take({ ticket, body }: RunnerFrame): Promise<void> {
    this.#ticket = ticket;
    if (this.#isDropped) {
      // It is on its way back, and what it offers must not wait until it is there: its own slice may need it.
      this.#isDropped = false;
      this.#ports.feeds.heard(this.sessionId);
    }
    switch (body.case) {
      case "follow":
        await this.#follow(body.value.queues.map(({ computeKey }) => computeKey));
        this.#followed.follow(body.value.queues);
        break;
      case "unfollow":
        this.#followed.unfollow(body.value.computeKeys);
        for (const key of body.value.computeKeys) this.#ports.live.unfollow(key, this);
        break;
      case "offer":
        this.#offered.offer(body.value.records);
        break;
      case "withdraw":
        this.#offered.withdraw(body.value.computeKeys);
        break;
      case "computed":
        await this.#offered.compute(body.value.records);
        break;
      case "ready":
        this.#ready(body.value.number, body.value.sources);
        break;
      case "end":
        await this.#end(body.value);
        break;
      case "alive":
        this.#ports.feeds.heard(this.sessionId);
        break;
      case "leave":
        this.#offered.withdraw();
        await this.#leave(ticket);
        break;
      case "hello":
      case undefined:
        throw outOfOrder("a hello comes first, and once");
    }
  }

  takeRecords(records: readonly LiveRecord[]): void {
    const next = this.#followed.next(records);
    if (next.length > 0) this.#send({ case: "share", value: { records: next } });
  }

  takeSlice(timeMs: number, records: readonly LiveRecord[]): void {
    const next = this.#followed.next(records);
    if (next.length === 0) return;
    if (this.#slice !== undefined && this.#slice.timeMs !== timeMs) this.#flush();
    this.#slice ??= { timeMs, records: [] };
    this.#slice.records.push(...next);
    this.#flushSoon();
  }

  lookAgain(computeKeys: readonly string[]): void {
    const { keys } = this.#ports.publish;
    // Rows of a replay feed are found by its timeline, which passes them on once they are booked.
    const isReplayed = (key: string): boolean => keys.replayKey(key) !== undefined;
    this.#followed.lookAgain(computeKeys.filter(isReplayed));
    this.#followed.keepLooking(computeKeys.filter((key) => !isReplayed(key)));
  }

  /** The session was dropped from its timeline: what it offered must not pass while it is silent. */
  dropped(): void {
    this.#isDropped = true;
    this.#offered.withdraw();
    this.#send({ case: "dropped", value: {} });
  }

  takenBack(): void {
    this.#send({ case: "takenBack", value: {} });
  }

  restate(): void {
    this.#send({ case: "restate", value: {} });
  }

  async #follow(computeKeys: readonly string[]): Promise<void> {
    const { publish, live, feeds } = this.#ports;
    await publish.keys.learn(computeKeys);
    for (const key of computeKeys) live.follow(key, this);
    const sources = new Set(this.#sources);
    for (const key of computeKeys) {
      const source = publish.keys.replayKey(key)?.source;
      if (source !== undefined) sources.add(source);
    }
    if (sources.size === this.#sources.size) return;
    this.#sources = sources;
    this.#watermarks?.end();
    this.#watermarks = feeds.follow(sources, () => this.#flushSoon());
  }

  #ready(number: bigint, sources: readonly string[]): void {
    this.#ports.calls.enter(this.#ticket, sources, this.#call()).then(
      () => this.#send({ case: "counted", value: { number } }),
      (failure: unknown) => {
        this.#send({ case: "counted", value: { number, refusal: this.#refusal(failure) } });
      },
    );
  }

  /** A session that could not be taken out is dropped once it is silent. */
  async #leave(ticket: string): Promise<void> {
    const { calls, logger } = this.#ports;
    const { sessionId } = this;
    await calls.leave(ticket, this.#call()).catch((error: unknown) => {
      logger.debug("a runner could not leave its feeds", { sessionId, error });
    });
  }

  async #end({ number, update, computed }: SliceEnd): Promise<void> {
    const isAwaited = this.#ports.live.isAwaited(
      computed.map(({ computeKey }) => computeKey),
      this,
    );
    if (isAwaited) await this.#offered.compute(computed);
    if (this.#ends >= endsMax) {
      const message = `${endsMax} slice ends of one session wait`;
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 });
    }
    this.#ends += 1;
    const taken = this.#ports.calls.setTargets(update!, sessionOf(this.#context));
    taken
      .then(
        ({ results = [], booked = [] }) =>
          this.#send({ case: "taken", value: { number, results, booked } }),
        (failure: unknown) =>
          this.#send({ case: "taken", value: { number, refusal: this.#refusal(failure) } }),
      )
      .finally(() => {
        this.#ends -= 1;
      });
    if (!isAwaited) await this.#offered.computeAfter(computed, taken);
  }

  #voided(
    records: readonly { readonly record: QueueRecord; readonly fault: RecordFault }[],
    failure: unknown,
  ): void {
    const named = records.map(({ record, fault }) => {
      const { computeKey, leaseEpoch, seq, body } = record;
      return { computeKey, leaseEpoch, seq, start: body.case === "start", fault };
    });
    const refusal = failure === undefined ? {} : { refusal: this.#refusal(failure) };
    this.#send({ case: "voided", value: { records: named, ...refusal } });
  }

  #refusal(failure: unknown): MessageInitShape<typeof FrameRefusalSchema> {
    const error = refusalFrom(qmtlErrorFrom(failure), true);
    const { reason, code, message, fields, retryAfterMs } = error;
    const isBug = reason === "BUG";
    if (isBug) this.#ports.logger.error("bug in RunnerService.Attach", { failure });
    return {
      reason: reasonToProto(reason),
      code,
      message: isBug ? "internal error" : message,
      fields: fields.map(({ field, description }) => ({ field, description })),
      ...(retryAfterMs === undefined ? {} : { retryDelay: durationFromMs(retryAfterMs) }),
    };
  }

  /** The context of a call that a frame stands for. */
  #call(): CallContext {
    const { principal, session, metadata } = this.#context;
    return { principal, session, metadata, signal: this.#closed.signal, timeoutMs: callMsMax };
  }

  /** Rows and watermarks of one slice, or of one batch, go together. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushing = false;
    const watermarks = this.#watermarks?.drain() ?? [];
    const slice = this.#slice;
    this.#slice = undefined;
    if (slice === undefined && watermarks.length === 0) return;
    const timeMs = slice?.timeMs ?? Math.max(...watermarks.map((one) => one.timeMs));
    const time = timestampFromMs(Math.trunc(timeMs));
    const chunks = inChunks(slice?.records ?? [], sliceRecordsMax);
    const last = chunks.pop() ?? [];
    for (const records of chunks) this.#send({ case: "slice", value: { time, records } });
    this.#send({
      case: "slice",
      value: {
        time,
        records: last,
        watermarks: watermarks.map(({ source, row, timeMs: ms }) => ({
          source,
          row: BigInt(row),
          time: timestampFromMs(Math.trunc(ms)),
        })),
      },
    });
  }

  #send(body: OwnerFrame["body"]): void {
    this.frames.push(body === undefined ? {} : { body });
  }

  #keepAliveSoon(): void {
    this.#keepAlive = this.#ports.clock.setTimer(() => {
      this.#send(undefined);
      if (!this.frames.isOver) this.#keepAliveSoon();
    }, keepAliveMs);
  }

  #close(): void {
    this.#closed.abort();
    this.#keepAlive?.cancel();
    this.#watermarks?.end();
    this.#offered.stop();
    for (const key of this.#followed.keys) this.#ports.live.unfollow(key, this);
  }
}

/** Longest call to the DAG Manager for a frame, milliseconds. */
const callMsMax = 10_000;

export function outOfOrder(what: string): QmtlError {
  return new QmtlError("INVALID_FIELD", `the frame is out of order: ${what}`, {
    fields: [{ field: "body", description: what }],
  });
}

function sessionOf({ session }: Pick<CallContext, "session">): SessionScope {
  if (session !== undefined) return session;
  throw new QmtlError("TICKET_INVALID", "a ticket is required: IssueTicket gives one");
}
