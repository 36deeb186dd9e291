import type { MessageInitShape } from "@bufbuild/protobuf";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type {
  FollowedQueue,
  OwnerFrameSchema,
  RunnerFrame,
  TakenSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import type { TargetUpdate } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import type { FakeBarrier } from "./fake-barrier.ts";
import type { FakeLog } from "./fake-log.ts";
import { Pulse } from "./pulse.ts";

/** Schema version that every message states. */
const schemaVersion = { min: 1, max: 1, version: 1 };

type OwnerFrame = MessageInitShape<typeof OwnerFrameSchema>;
type Body = NonNullable<OwnerFrame["body"]>;

/** What the streams of runners do at the fake gateway. */
interface FakeOwner {
  readonly log: FakeLog;
  readonly barrier: FakeBarrier;
  /** Notified when something may pass, or the gateway went down. */
  readonly changed: Pulse;
  /** @throws {ConnectError} if the gateway is down, or the session is dead. */
  check(sessionId: string): void;
  /** Takes the end of a slice; undefined while it is held. */
  end(sessionId: string, update: TargetUpdate): MessageInitShape<typeof TakenSchema> | undefined;
  /** A session has left the runner sets. */
  left(): void;
}

/** The streams of runners at the fake gateway. A ticket is the id of its session. */
export class FakeRunners {
  readonly #owner: FakeOwner;

  constructor(owner: FakeOwner) {
    this.#owner = owner;
  }

  async *attach(
    frames: AsyncIterable<RunnerFrame>,
    signal: AbortSignal,
  ): AsyncGenerator<OwnerFrame> {
    const stream = new FakeRunnerStream(this.#owner);
    const stop = (): void => stream.stop();
    signal.addEventListener("abort", stop);
    stream.read(frames);
    try {
      yield* stream.frames();
    } finally {
      signal.removeEventListener("abort", stop);
      stream.stop();
    }
  }
}

class FakeRunnerStream {
  readonly #owner: FakeOwner;
  readonly #stop = new AbortController();
  readonly #out: Body[] = [];
  readonly #written = new Pulse();
  readonly #followed = new Map<string, AbortController>();
  /** Records of each queue pass one after the other; those of computed nodes together. */
  readonly #chains = new Map<string, Promise<void>>();
  readonly #passing = new Map<string, AbortController>();
  #sessionId = "";
  #end: { readonly failure?: unknown } | undefined;

  constructor(owner: FakeOwner) {
    this.#owner = owner;
  }

  async *frames(): AsyncGenerator<OwnerFrame> {
    for (;;) {
      const written = this.#written.changed(this.#stop.signal);
      const body = this.#out.shift();
      if (body !== undefined) yield { schemaVersion, body };
      else if (this.#end !== undefined) {
        if (this.#end.failure !== undefined) throw this.#end.failure;
        return;
      } else await written;
    }
  }

  read(frames: AsyncIterable<RunnerFrame>): void {
    const read = async (): Promise<void> => {
      for await (const frame of frames) {
        if (this.#sessionId === "") this.#begin(frame.ticket);
        this.#owner.check(this.#sessionId);
        this.#take(frame);
      }
    };
    read().then(
      () => this.#over({}),
      (failure: unknown) => this.#over({ failure }),
    );
  }

  stop(): void {
    this.#over({});
    this.#stop.abort();
    for (const one of [...this.#followed.values(), ...this.#passing.values()]) one.abort();
  }

  #begin(sessionId: string): void {
    this.#sessionId = sessionId;
    const watch = async (): Promise<void> => {
      const { changed } = this.#owner;
      const { signal } = this.#stop;
      while (!signal.aborted) {
        const next = changed.changed(signal);
        this.#owner.check(sessionId);
        await next;
      }
    };
    watch().catch((failure: unknown) => this.#over({ failure }));
  }

  #take({ body }: RunnerFrame): void {
    const { barrier, end, left } = this.#owner;
    switch (body.case) {
      case "hello":
        this.#write({ case: "welcome", value: { sessionId: this.#sessionId } });
        break;
      case "follow":
        for (const { computeKey, position } of body.value.queues) {
          this.#unfollow(computeKey);
          this.#follow(computeKey, position);
        }
        break;
      case "unfollow":
        for (const key of body.value.computeKeys) this.#unfollow(key);
        break;
      case "offer":
        for (const record of body.value.records) this.#pass(record.computeKey, [record]);
        break;
      case "withdraw":
        for (const key of body.value.computeKeys) {
          this.#passing.get(key)?.abort();
          this.#passing.delete(key);
        }
        break;
      case "computed":
        this.#pass("computed", body.value.records);
        break;
      case "ready":
        for (const source of body.value.sources) barrier.enter(source, this.#sessionId);
        this.#write({ case: "counted", value: { number: body.value.number } });
        break;
      case "end": {
        const { number, update, computed } = body.value;
        this.#pass("computed", computed);
        const taken = end(this.#sessionId, update!);
        if (taken !== undefined) this.#write({ case: "taken", value: { ...taken, number } });
        break;
      }
      case "leave":
        barrier.lose(this.#sessionId);
        left();
        break;
      default:
    }
  }

  #pass(chain: string, records: readonly QueueRecord[]): void {
    const { barrier, changed, check } = this.#owner;
    const passing = this.#passing.get(chain) ?? new AbortController();
    this.#passing.set(chain, passing);
    const before = this.#chains.get(chain) ?? Promise.resolve();
    const pass = async (): Promise<void> => {
      await before;
      const { signal } = passing;
      if (signal.aborted) return;
      const results = await barrier.publish(records, changed, () => check(this.#sessionId), signal);
      const voided = records.flatMap(({ computeKey, leaseEpoch, seq, body }, at) => {
        const result = results[at];
        if (result === undefined || result.effective) return [];
        return [{ computeKey, leaseEpoch, seq, start: body.case === "start", fault: result.fault }];
      });
      if (voided.length > 0) this.#write({ case: "voided", value: { records: voided } });
    };
    const passed = pass().catch((failure: unknown) => this.#over({ failure }));
    this.#chains.set(chain, passed);
  }

  #follow(computeKey: string, position: FollowedQueue["position"]): void {
    const { log, check } = this.#owner;
    const reading = new AbortController();
    this.#followed.set(computeKey, reading);
    const read = async (): Promise<void> => {
      const keys = [{ computeKey, position }];
      const checked = (): void => check(this.#sessionId);
      for await (const { records } of log.consume({ keys }, checked, reading.signal)) {
        if (!reading.signal.aborted) this.#write({ case: "share", value: { records } });
      }
    };
    read().catch((failure: unknown) => this.#over({ failure }));
  }

  #unfollow(computeKey: string): void {
    this.#followed.get(computeKey)?.abort();
    this.#followed.delete(computeKey);
  }

  #write(body: Body): void {
    this.#out.push(body);
    this.#written.notify();
  }

  #over(end: { readonly failure?: unknown }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#written.notify();
  }
}
