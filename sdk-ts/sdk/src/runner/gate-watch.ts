import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { TagMatches } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { domainOfMode, type ExecutionDomain } from "@qmtl/core/gate";
import type { QmtlConfig } from "../config/index.ts";
import { ControlSession, OrderGate, type SdkClock, type TicketKeeper } from "../control/index.ts";
import { isAnswer } from "../rpc/index.ts";
import type { OnlineEvent } from "./online-run.ts";
import type { OnlineServices } from "./online-services.ts";
import type { ReachWatch } from "./reach-watch.ts";

export interface GateWatchOptions {
  readonly services: OnlineServices;
  readonly clock: SdkClock;
  readonly tickets: TicketKeeper;
  readonly worldId: string;
  readonly strategyId: string;
  /** Section `sdk` of the configuration. */
  readonly sdk: QmtlConfig["sdk"];
  /** Highest domain orders leave in; null: as the world grants. */
  readonly domainMax: ExecutionDomain | null;
  readonly tell: (kind: OnlineEvent["kind"], message: string) => void;
  /** Orders may leave from now on. */
  readonly onArmed: () => void;
  readonly onSwap: (swap: ContextSwap) => void;
  /** What matches some tags has changed. */
  readonly onTags: (matches: TagMatches) => void;
  /** Feeds that dropped this session. */
  readonly onUnregistered: (sources: readonly string[]) => void;
  /** The queues are of another store than before. */
  readonly onQueuesRestored: () => void;
  /** The stream stands again after a break. */
  readonly onReconnected: () => void;
}

/** Heartbeats in a row that services behind the gateway may leave unanswered before it is told. */
const unansweredMax = 1;

/** The gate of a run and its control stream, and what is told of them. */
export class GateWatch {
  readonly gate: OrderGate;
  readonly session: ControlSession;
  readonly #options: GateWatchOptions;
  readonly #reach: ReachWatch;
  #isArmed = false;
  #isStreamUp = false;
  #isAboveDomain = false;
  #unanswered = 0;

  constructor(options: GateWatchOptions, reach: ReachWatch) {
    const { services, clock, tickets, worldId, strategyId, sdk, onSwap, onTags } = options;
    const { sessionId } = tickets;
    this.#options = options;
    this.#reach = reach;
    this.gate = new OrderGate(clock, { sessionId, worldId, strategyId }, options.domainMax);
    this.session = new ControlSession({
      control: services.control,
      clock,
      gate: this.gate,
      tickets,
      worldId,
      strategyId,
      listener: {
        onGate: (reason) => this.#gateChanged(reason),
        onSwap,
        onTags,
        onUnregistered: options.onUnregistered,
        onQueuesRestored: options.onQueuesRestored,
        onConnected: () => this.#connected(`control stream of ${services.url}`),
        onLost: (failure) => {
          this.#isStreamUp = false;
          reach.lost(failure);
        },
        onHeartbeat: (failure) => this.#heartbeat(failure),
      },
      silenceMsMax: sdk.stream_silence_ms_max,
      totalMsMax: sdk.stream_total_ms_max,
    });
  }

  /** Orders may leave. */
  get isArmed(): boolean {
    return this.#isArmed;
  }

  #gateChanged(reason: string): void {
    const { tell, onArmed } = this.#options;
    const refusal = this.gate.refusal(["long", "short"]);
    const isArmed = refusal === null;
    this.#tellDomain();
    if (isArmed === this.#isArmed) return;
    this.#isArmed = isArmed;
    if (isArmed) {
      tell("gate_opened", `orders may leave (${this.gate.mode()})`);
      onArmed();
    } else tell("gate_shut", [refusal, reason].filter((part) => part !== "").join(": "));
  }

  /** Tells once that the world grants more than this side lets out. */
  #tellDomain(): void {
    const { isAboveDomain } = this.gate;
    if (isAboveDomain === this.#isAboveDomain) return;
    this.#isAboveDomain = isAboveDomain;
    if (!isAboveDomain) return;
    const { tell, domainMax } = this.#options;
    const granted = domainOfMode(this.gate.mode());
    this.#isArmed = false;
    tell(
      "gate_shut",
      `ABOVE_EXECUTION_DOMAIN: the world grants ${granted}, this run sends up to ${domainMax}: it computes and no order leaves; sdk.execution_domain, or the option executionDomain, says how far it may go`,
    );
  }

  #connected(what: string): void {
    this.#isStreamUp = true;
    this.#unanswered = 0;
    const wasLost = this.#reach.reached();
    this.#options.tell("connected", what);
    if (wasLost) this.#options.onReconnected();
  }

  /** The stream stands while WorldService is away: only heartbeats show it. Without a stream they prove nothing. */
  #heartbeat(failure: unknown): void {
    const { state } = this.#reach.now;
    if (failure === undefined) {
      this.#unanswered = 0;
      if (this.#isStreamUp && state !== "connected") this.#connected("all services answer again");
    } else if (isAnswer(failure) && state === "connected") {
      this.#unanswered++;
      if (this.#unanswered > unansweredMax) this.#reach.lost(failure);
    }
  }
}
