import type { Client } from "@connectrpc/connect";
import type {
  ContextSwap,
  ControlEvent,
  QueueUpdated,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { makeHeartbeat, makeNack, type SessionEffect } from "../gate/index.ts";
import { hasReason, heartbeatToProto, replyFromProto } from "../rpc/index.ts";
import { pause, type SdkClock, type SdkTimer } from "./clock.ts";
import { gateInput } from "./gate-from-proto.ts";
import type { OrderGate } from "./order-gate.ts";
import { reconnectDelayMs } from "./reconnect-delay.ts";
import { TicketKeeper } from "./ticket-keeper.ts";

/** What the control session tells. */
export interface ControlListener {
  /** Phase, mode or state may have changed. */
  onGate(reason: string): void;
  onSwap(swap: ContextSwap): void;
  /** The queues with some tags have changed. */
  onTags(update: QueueUpdated): void;
  /** The stream stands (again). */
  onConnected(): void;
  /** The stream broke, or could not be opened; it is tried again. */
  onLost(failure: unknown): void;
  /** A heartbeat was answered, or failed. */
  onHeartbeat(failure: unknown): void;
}

export interface ControlSessionOptions {
  readonly control: Client<typeof ControlStreamService>;
  readonly clock: SdkClock;
  readonly gate: OrderGate;
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyId: string;
  readonly listener: ControlListener;
  /** Silence after which a stream counts as broken, milliseconds; progress marks come every 2,000. @default 6000 */
  readonly silenceMsMax?: number;
  /** Age at which a stream is closed and opened again, milliseconds. @default none */
  readonly totalMsMax?: number | null;
}

const silence = new Error("the control stream fell silent");
const silenceMsMaxDefault = 6_000;
/** Wait before a stream is opened again for a snapshot or for its age, milliseconds. */
const reopenAfterMs = 100;
/** Heartbeats under way at most. */
const heartbeatsMax = 4;
/** How often a session renews until it is told. */
const renewMsDefault = 2_000;

/**
 * Ticket, control stream and heartbeats of one strategy's session. It reconnects for ever; while it cannot
 * reach the gateway, the gate falls shut by itself when the lease runs out.
 */
export class ControlSession {
  readonly #options: ControlSessionOptions;
  readonly #stop = new AbortController();
  readonly #applied = new Map<string, { revision: bigint; storeEpoch: bigint }>();
  readonly #tickets: TicketKeeper;
  #stream: AbortController | undefined;
  #heardMs = 0;
  #openedMs = 0;
  #renewMs = renewMsDefault;
  #renewTimer: SdkTimer | undefined;
  #tickTimer: SdkTimer | undefined;
  #underWay = 0;
  /** The stream was ended here, to be given a snapshot or for its age, and is opened again at once. */
  #isReopening = false;
  #loop: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(options: ControlSessionOptions) {
    this.#options = options;
    this.#tickets = new TicketKeeper(options);
  }

  /** The ticket now; empty before the first. */
  get ticket(): string {
    return this.#tickets.ticket;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Asks for a new ticket at the next connection, for one that was refused. */
  dropTicket(): void {
    this.#tickets.drop();
    this.#stream?.abort();
  }

  /** Takes what the gate machine asked for. */
  follow(effects: readonly SessionEffect[], reason: string): void {
    for (const effect of effects) this.#do(effect);
    this.#options.listener.onGate(reason);
  }

  /** Gives the order lease up, tells so once, and ends the stream. May be called twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    const { gate, clock, control, strategyId } = this.#options;
    gate.take({ kind: "halt", reason: "stopped" });
    this.#renewTimer?.cancel();
    this.#tickTimer?.cancel();
    this.#stop.abort();
    this.#stream?.abort();
    if (this.ticket !== "") {
      const made = makeHeartbeat(gate.state, clock.reading());
      gate.state = made.state;
      const heartbeat = heartbeatToProto(made.heartbeat, {
        strategyIds: [strategyId],
        release: true,
      });
      await control
        .heartbeat({ ticket: this.ticket, heartbeat }, { timeoutMs: 1_000 })
        .catch(() => undefined);
    }
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, listener } = this.#options;
    const stop = this.#stop.signal;
    let failures = 0;
    let isPlanned = false;
    while (!stop.aborted) {
      let failure: unknown = new Error("the stream ended");
      const stream = new AbortController();
      this.#stream = stream;
      this.#isReopening = false;
      this.#heardMs = clock.nowMs();
      this.#openedMs = this.#heardMs;
      try {
        await this.#tickets.ensure(AbortSignal.any([stop, stream.signal]));
        await this.#read(stream.signal, () => {
          failures = 0;
          if (!isPlanned) listener.onConnected();
        });
      } catch (caught) {
        failure = caught;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) this.#tickets.drop();
      } finally {
        stream.abort();
      }
      if (stop.aborted) return;
      isPlanned = this.#isReopening;
      if (isPlanned) {
        await pause(clock, reopenAfterMs, stop);
        continue;
      }
      failures++;
      listener.onLost(failure);
      await pause(clock, reconnectDelayMs(failures), stop);
    }
  }

  async #read(signal: AbortSignal, onUp: () => void): Promise<void> {
    const { control, clock, gate } = this.#options;
    const lastApplied = [...this.#applied].map(([topicKey, { revision, storeEpoch }]) => {
      return { topicKey, revision, storeEpoch };
    });
    this.#watchTime();
    let isFirst = true;
    const call = control.subscribe({ ticket: this.ticket, lastApplied }, { signal });
    for await (const { event } of call) {
      this.#heardMs = clock.nowMs();
      if (isFirst) {
        isFirst = false;
        onUp();
        if (gate.state.applied !== null) this.#beat(false);
      }
      if (event !== undefined) this.#take(event);
      if (signal.aborted) return;
    }
  }

  /** One timer for what time alone brings: silence and age of the stream, the end of a lease, the end of a ticket. */
  #watchTime(): void {
    const { clock, gate, listener } = this.#options;
    const { silenceMsMax = silenceMsMaxDefault, totalMsMax = null } = this.#options;
    this.#tickTimer?.cancel();
    this.#tickTimer = clock.setTimer(() => {
      if (this.#stop.signal.aborted) return;
      const effects = gate.take({ kind: "tick", now: clock.reading() });
      if (effects.length > 0) this.follow(effects, "the order lease ran out");
      else listener.onGate("");
      const nowMs = clock.nowMs();
      if (nowMs - this.#heardMs > silenceMsMax) this.#stream?.abort(silence);
      else if (totalMsMax !== null && nowMs - this.#openedMs > totalMsMax) this.#reopen();
      this.#tickets.look();
      this.#watchTime();
    }, 500);
  }

  #reopen(): void {
    this.#isReopening = true;
    this.#stream?.abort();
  }

  #take(event: ControlEvent): void {
    const { worldId, strategyId, gate, listener } = this.#options;
    const { payload, topicKey, revision } = event;
    if (payload.case === "gateEvent" || payload.case === "snapshot") {
      const state = payload.case === "gateEvent" ? payload.value.state : payload.value.gate?.state;
      if (state !== undefined && state.worldId === worldId) {
        this.#applied.set(`world/${worldId}/gate`, {
          revision: state.revision,
          storeEpoch: state.storeEpoch,
        });
        const reason = payload.case === "gateEvent" ? payload.value.change : "snapshot";
        this.follow(gate.take(gateInput(state, [strategyId])), reason);
      }
    }
    const queues =
      payload.case === "queueUpdated"
        ? payload.value
        : payload.case === "snapshot"
          ? payload.value.queues
          : undefined;
    if (queues === undefined) return;
    const at = payload.case === "snapshot" ? payload.value.revision : revision;
    const key = payload.case === "snapshot" ? payload.value.topicKey : topicKey;
    if (at > 0n) this.#applied.set(key, { revision: at, storeEpoch: 0n });
    const { swap, tags } = queues;
    if (tags.length > 0) listener.onTags(queues);
    if (swap?.strategyId === strategyId && swap.worldId === worldId) listener.onSwap(swap);
  }

  #do(effect: SessionEffect): void {
    const { gate, control, worldId } = this.#options;
    if (effect.kind === "send_heartbeat") this.#beat(false);
    else if (effect.kind === "request_snapshot") {
      // Before the first state of a stream its snapshot is on the way already.
      if (!this.#applied.delete(`world/${worldId}/gate`)) return;
      this.#reopen();
    } else if (effect.kind === "send_nack") {
      const runId = gate.state.applied?.runId ?? null;
      const { revision, fence } = effect;
      const nack = makeNack(gate.state, effect.reason, { revision, fence, runId });
      const message = {
        ticket: this.ticket,
        sessionId: nack.sessionId,
        worldId,
        heartbeatSeq: BigInt(nack.heartbeatSeq),
        revision: BigInt(revision),
        fence: BigInt(fence),
        runId: runId ?? "",
        reason: nack.reason.toLowerCase(),
        lastGoodRevision: BigInt(nack.lastGoodRevision),
      };
      control.nack(message).catch(() => undefined);
    }
  }

  /** Sends a heartbeat now and sets the time of the next. */
  #beat(isTimed: boolean): void {
    const { clock, gate, control, strategyId, listener } = this.#options;
    if (this.#stop.signal.aborted) return;
    this.#renewTimer?.cancel();
    this.#renewTimer = clock.setTimer(() => this.#beat(true), this.#renewMs);
    if (this.ticket === "" || this.#underWay >= (isTimed ? heartbeatsMax / 2 : heartbeatsMax))
      return;
    const made = makeHeartbeat(gate.state, clock.reading());
    gate.state = made.state;
    // A lease that could not be used would keep another session from being the emitter.
    const wantLease = made.heartbeat.wantLease && !gate.isAboveDomain;
    const heartbeat = heartbeatToProto(
      { ...made.heartbeat, wantLease },
      { strategyIds: [strategyId], release: false },
    );
    this.#underWay++;
    control.heartbeat({ ticket: this.ticket, heartbeat }, { timeoutMs: 4_000 }).then(
      ({ reply }) => {
        this.#underWay--;
        if (reply === undefined || this.#stop.signal.aborted) return;
        listener.onHeartbeat(undefined);
        if (reply.renewMs > 0) this.#renewMs = reply.renewMs;
        const now = clock.reading();
        const effects = gate.take({ kind: "reply", reply: replyFromProto(reply), now });
        this.follow(effects, reply.granted ? "order lease granted" : "");
      },
      (failure: unknown) => {
        this.#underWay--;
        if (this.#stop.signal.aborted) return;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) this.dropTicket();
        else listener.onHeartbeat(failure);
      },
    );
  }
}
