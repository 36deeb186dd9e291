import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  ControlStreamService,
  type IssueTicketRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import { HeldTopics } from "@qmtl/service-kit/testing";

const RETRY_MS = 50;

/** Planted fault, to prove that it is found: the subscriber claims to have applied one revision more, or one less. */
export type Fault = "resumes too late" | "resumes too early";

/** The scope of a stream's ticket; undefined while there is none yet: ask again. */
export type TicketScope = () => Promise<
  MessageInitShape<typeof IssueTicketRequestSchema> | undefined
>;

/** One subscriber over the wire, through cuts and outages, by section 8 of the protocol page. */
export class WireSubscriber implements AsyncDisposable {
  readonly held = new HeldTopics();
  /** Every event it applied, in order, without progress marks. */
  readonly events: ControlEvent[] = [];
  /** Topic keys of its last ticket. */
  topicKeys: readonly string[] = [];
  fault: Fault | undefined;
  readonly #connection: Connection;
  readonly #scope: TicketScope;
  #violation: Error | undefined;
  #stop: AbortController | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(connection: Connection, scope: TicketScope) {
    this.#connection = connection;
    this.#scope = scope;
  }

  /** First violation of the protocol that it received; undefined when there was none. */
  get violation(): Error | undefined {
    return this.#violation;
  }

  /** Follows from what it has applied, and reconnects after each outage; does nothing if it is connected already. */
  connect(): void {
    if (this.#stop !== undefined) return;
    this.#stop = new AbortController();
    this.#reading = this.#follow(this.#stop.signal);
  }

  async cut(): Promise<void> {
    this.#stop?.abort();
    this.#stop = undefined;
    await this.#reading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cut();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#violation === undefined) {
      // Outages are part of the story.
      await this.#read(signal).catch(() => {});
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const scope = await this.#scope();
    if (scope === undefined || signal.aborted) return;
    const streams = this.#connection.client(ControlStreamService);
    const { ticket, topicKeys } = await streams.issueTicket(scope, { signal });
    this.topicKeys = topicKeys;
    const lastApplied = this.#lastApplied(topicKeys);
    for await (const { event } of streams.subscribe({ ticket, lastApplied }, { signal })) {
      if (event !== undefined) this.#take(event);
      if (signal.aborted || this.#violation !== undefined) return;
    }
  }

  #lastApplied(topicKeys: readonly string[]) {
    const off = { "resumes too late": 1n, "resumes too early": -1n };
    const by = this.fault === undefined ? 0n : off[this.fault];
    return this.held
      .lastApplied()
      .filter(({ topicKey }) => topicKeys.includes(topicKey))
      .map((one) => ({ ...one, revision: one.revision + by }));
  }

  #take(event: ControlEvent): void {
    try {
      this.held.take(event);
      if (event.topicKey !== "") this.events.push(event);
    } catch (failure) {
      this.#violation = failure instanceof Error ? failure : new Error(String(failure));
    }
  }
}
