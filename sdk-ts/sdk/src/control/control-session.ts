import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { ControlEvent, Snapshot } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateChange, type GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { makeHeartbeat, makeNack, type SessionEffect } from "@qmtl/core/gate";
import {
  hasReason,
  heartbeatToProto,
  isWorldGone,
  nackToProto,
  QmtlError,
  replyFromProto,
} from "../rpc/index.ts";
import { pause, type SdkClock, type SdkTimer, stopwatch } from "./clock.ts";
import type { ControlListener } from "./control-listener.ts";
import { gateInput } from "./gate-from-proto.ts";
import type { OrderGate } from "./order-gate.ts";
import { reconnectDelayMs } from "./reconnect-delay.ts";
import type { TicketKeeper } from "./ticket-keeper.ts";

export interface ControlSessionOptions {
  readonly control: Client<typeof ControlStreamService>;
  readonly clock: SdkClock;
  readonly gate: OrderGate;
  /** Keeps the ticket, which names the session. */
  readonly tickets: TicketKeeper;
  readonly worldId: string;
  readonly listener: ControlListener;
  /** Silence after which a stream counts as broken, milliseconds; progress marks come every 2,000. @default 6000 */
  readonly silenceMsMax?: number;
  /** Age at which a stream is closed and opened again, milliseconds. @default none */
  readonly totalMsMax?: number | null;
}

const silence = new Error("the control stream fell silent");
const silenceMsMaxDefault = 6_000;
/** Wait before a stream that was closed here is opened again, milliseconds. */
const reopenAfterMs = 100;
/** Upper bound of that wait, which doubles each time a stream was closed soon after it opened. */
const reopenAfterMsMax = 2_000;
/**
 * A stream that was open for this long, or for `totalMsMax` if that is less, does not lengthen the wait, milliseconds.
 */
const calmMsMin = 2_000;
/** Largest number of heartbeats under way; half of it for those that the timer sends. */
const heartbeatsMax = 4;
const changeNames = new Map<number, string>(
  Object.entries(GateChange).map(([name, change]) => [change, name]),
);
/** Interval between heartbeats until a reply states another, milliseconds. */
const renewMsDefault = 2_000;

/**
 * Ticket, control stream and heartbeats of a session, which may have several strategies. It reconnects for ever; while it cannot reach the
 * gateway, the gate shuts by itself when the order lease runs out.
 */
export class ControlSession {
  readonly #options: ControlSessionOptions;
  readonly #stop = new AbortController();
  readonly #applied = new Map<string, { revision: bigint; storeEpoch: bigint }>();
  #stream: AbortController | undefined;
  /** Elapsed time by which the stream is watched: a wall clock that is set back must not hide its silence. */
  readonly #elapsedMs: () => number;
  #heardMs = 0;
  /** When the stream delivered its first message; +∞ before. */
  #stoodFromMs = Number.POSITIVE_INFINITY;
  #renewMs = renewMsDefault;
  #renewTimer: SdkTimer | undefined;
  #tickTimer: SdkTimer | undefined;
  #underWay = 0;
  /** The stream was closed here, for a snapshot, its age or its ticket, and is opened again soon. */
  #isReopening = false;
  #loop: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(options: ControlSessionOptions) {
    this.#options = options;
    this.#elapsedMs = stopwatch(options.clock);
  }

  /** The current ticket; empty before the first. */
  get ticket(): string {
    return this.#options.tickets.ticket;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Drops a ticket that was refused and reopens the stream with a new one. Does nothing for an earlier ticket. */
  dropTicket(ticket: string): void {
    if (this.#options.tickets.drop(ticket)) this.#reopen();
  }

  /** Carries out what the gate machine asked for and reports to the listener. */
  follow(effects: readonly SessionEffect[], reason: string): void {
    for (const effect of effects) this.#do(effect);
    this.#options.listener.onGate(reason);
  }

  /** Gives up the order lease in one last heartbeat, without a retry, and ends the stream. May be called twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    const { gate, clock, control } = this.#options;
    gate.take({ kind: "halt", reason: "stopped" });
    this.#renewTimer?.cancel();
    this.#tickTimer?.cancel();
    this.#stop.abort();
    this.#stream?.abort();
    if (this.ticket !== "") {
      const made = makeHeartbeat(gate.state, clock.reading());
      gate.state = made.state;
      const heartbeat = heartbeatToProto(made.heartbeat, { release: true });
      await control
        .heartbeat({ ticket: this.ticket, heartbeat }, { timeoutMs: 1_000 })
        .catch(() => undefined);
    }
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, listener, totalMsMax } = this.#options;
    const stop = this.#stop.signal;
    const calmMs = Math.min(calmMsMin, totalMsMax ?? calmMsMin);
    let failures = 0;
    let hasty = 0;
    // Whether `onConnected` was reported last: a stream that is reopened here is reported only after a loss.
    let isToldUp = false;
    while (!stop.aborted) {
      let failure: unknown = new Error("the stream ended");
      // `#end` aborts it as well, through `#stream`.
      const stream = new AbortController();
      this.#stream = stream;
      this.#isReopening = false;
      this.#heardMs = this.#elapsedMs();
      this.#stoodFromMs = Number.POSITIVE_INFINITY;
      try {
        await this.#options.tickets.ensure(stream.signal);
        await this.#read(stream.signal, () => {
          failures = 0;
          if (isToldUp) return;
          isToldUp = true;
          listener.onConnected();
        });
      } catch (caught) {
        failure = caught;
      } finally {
        stream.abort();
      }
      if (stop.aborted) return;
      if (this.#isReopening) {
        // A stream that is closed again and again, e.g. because its gateway has nothing newer, is reopened more slowly.
        hasty = this.#elapsedMs() - this.#stoodFromMs < calmMs ? hasty + 1 : 0;
        await pause(
          clock,
          Math.min(reopenAfterMsMax, reopenAfterMs * 2 ** Math.max(0, hasty - 1)),
          stop,
        );
        continue;
      }
      failures++;
      isToldUp = false;
      listener.onLost(failure);
      await pause(clock, reconnectDelayMs(failures), stop);
    }
  }

  async #read(signal: AbortSignal, onUp: () => void): Promise<void> {
    const { control, gate } = this.#options;
    const lastApplied = [...this.#applied].map(([topicKey, { revision, storeEpoch }]) => {
      return { topicKey, revision, storeEpoch };
    });
    if (signal.aborted) return;
    this.#watchTime();
    const { ticket } = this;
    let isUp = false;
    try {
      for await (const { event } of control.subscribe({ ticket, lastApplied }, { signal })) {
        this.#heardMs = this.#elapsedMs();
        if (!isUp) {
          isUp = true;
          this.#stoodFromMs = this.#heardMs;
          onUp();
          if (gate.state.applied !== null) this.#beat(false);
        }
        if (event !== undefined) this.#take(event);
        if (signal.aborted) return;
      }
    } catch (failure) {
      if (!hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) throw failure;
      this.#options.tickets.drop(ticket);
      // A stream ends with the ticket it was opened with: that is no loss, unless the ticket was never accepted.
      if (!isUp) throw failure;
      this.#isReopening = true;
    }
  }

  /** One timer for all that depends on time alone: silence and age of the stream, the end of a lease or ticket. */
  #watchTime(): void {
    const { clock, gate, listener } = this.#options;
    const { silenceMsMax = silenceMsMaxDefault, totalMsMax = null } = this.#options;
    this.#tickTimer?.cancel();
    this.#tickTimer = clock.setTimer(() => {
      if (this.#stop.signal.aborted) return;
      const effects = gate.take({ kind: "tick", now: clock.reading() });
      if (effects.length > 0) this.follow(effects, "the order lease ran out");
      else listener.onGate("");
      const nowMs = this.#elapsedMs();
      if (nowMs - this.#heardMs > silenceMsMax) this.#stream?.abort(silence);
      else if (totalMsMax !== null && nowMs - this.#stoodFromMs > totalMsMax) this.#reopen();
      this.#options.tickets.look();
      this.#watchTime();
    }, 500);
  }

  #reopen(): void {
    this.#isReopening = true;
    this.#stream?.abort();
  }

  #take(event: ControlEvent): void {
    const { payload, topicKey, revision, storeEpoch } = event;
    const known = this.#applied.get(topicKey);
    if (known !== undefined && known.storeEpoch !== storeEpoch && topicKey.endsWith(queueTopic)) {
      this.#options.listener.onQueuesRestored();
    }
    if (topicKey !== "") {
      // A key at revision 0 has no change to continue from.
      if (revision > 0n) this.#applied.set(topicKey, { revision, storeEpoch });
      else this.#applied.delete(topicKey);
    }
    switch (payload.case) {
      case "gateEvent":
        this.#takeGate(payload.value.state, changeName(payload.value.change));
        break;
      case "swapUpdated":
        this.#takeSwap(payload.value);
        break;
      case "tagQueryUpdated":
        this.#options.listener.onTags(payload.value);
        break;
      case "snapshot":
        this.#takeSnapshot(payload.value);
        break;
      default:
    }
  }

  #takeSnapshot({ state }: Snapshot): void {
    if (state.case === "gate") this.#takeGate(state.value, "snapshot");
    else if (state.case === "queues") for (const swap of state.value.swaps) this.#takeSwap(swap);
    else if (state.case === "tags") {
      for (const matches of state.value.queries) this.#options.listener.onTags(matches);
    }
  }

  #takeGate(state: GateState | undefined, reason: string): void {
    const { worldId, gate } = this.#options;
    if (state?.worldId !== worldId) return;
    this.follow(gate.take(gateInput(state, gate.strategyIds)), reason);
  }

  #takeSwap(swap: ContextSwap): void {
    const { worldId, gate, listener } = this.#options;
    const isOwn = swap.worldId === worldId && gate.strategyIds.includes(swap.strategyId);
    if (isOwn) listener.onSwap(swap);
  }

  #do(effect: SessionEffect): void {
    const { gate, control, worldId } = this.#options;
    if (effect.kind === "send_heartbeat") this.#beat(false);
    else if (effect.kind === "request_snapshot") {
      // Before the first gate state of a stream, its snapshot is on the way already.
      if (!this.#applied.delete(`world/${worldId}/gate`)) return;
      this.#reopen();
    } else if (effect.kind === "send_nack") {
      const runId = gate.state.applied?.runId ?? null;
      const { revision, fence } = effect;
      const nack = makeNack(gate.state, effect.reason, { revision, fence, runId });
      control.nack(nackToProto(nack, this.ticket)).catch(() => undefined);
    }
  }

  /** Sends a heartbeat now, unless there is no ticket or too many are under way, and sets the timer of the next. */
  #beat(isTimed: boolean): void {
    const { clock, gate, control, listener } = this.#options;
    if (this.#stop.signal.aborted) return;
    this.#renewTimer?.cancel();
    this.#renewTimer = clock.setTimer(() => this.#beat(true), this.#renewMs);
    if (this.ticket === "" || this.#underWay >= (isTimed ? heartbeatsMax / 2 : heartbeatsMax))
      return;
    const made = makeHeartbeat(gate.state, clock.reading());
    gate.state = made.state;
    // A lease that could not be used would keep another session from being the emitter.
    const wantLease = made.heartbeat.wantLease && !gate.isAllAboveDomain;
    const heartbeat = heartbeatToProto({ ...made.heartbeat, wantLease }, { release: false });
    this.#underWay++;
    const { ticket } = this;
    control.heartbeat({ ticket, heartbeat }, { timeoutMs: 4_000 }).then(
      ({ reply, unregisteredSources }) => {
        this.#underWay--;
        if (reply === undefined || this.#stop.signal.aborted) return;
        listener.onHeartbeat(isWorldGone(reply) ? worldGone(this.#options.worldId) : undefined);
        listener.onUnregistered(unregisteredSources);
        const renewMs = reply.renewInterval === undefined ? 0 : durationMs(reply.renewInterval);
        if (renewMs > 0) this.#renewMs = renewMs;
        const now = clock.reading();
        const taken = replyFromProto(reply, gate.state.identity.sessionId);
        const effects = gate.take({ kind: "reply", reply: taken, now });
        this.follow(effects, reply.granted ? "order lease granted" : "");
      },
      (failure: unknown) => {
        this.#underWay--;
        if (this.#stop.signal.aborted) return;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) this.dropTicket(ticket);
        else listener.onHeartbeat(failure);
      },
    );
  }
}

/** Topics of the DAG Manager: `world/…/queue` and `tags/queue`. */
const queueTopic = "/queue";

function worldGone(worldId: string): QmtlError {
  const metadata = { world_id: worldId };
  return new QmtlError("WORLD_NOT_FOUND", `there is no world ${worldId}`, { metadata });
}

/** Name of a gate change in lower case; empty if it is unknown. */
function changeName(change: GateChange): string {
  return changeNames.get(change)?.toLowerCase() ?? "";
}
