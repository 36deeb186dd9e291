import type { ContextSwap, QueueUpdated } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { ControlSession, OrderGate, type SdkClock } from "../control/index.ts";
import type { OnlineEvent } from "./online-run.ts";
import type { OnlineServices } from "./online-services.ts";

export interface GateWatchOptions {
  readonly services: OnlineServices;
  readonly clock: SdkClock;
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyId: string;
  readonly tell: (kind: OnlineEvent["kind"], message: string) => void;
  /** Orders may leave from now on. */
  readonly onArmed: () => void;
  readonly onSwap: (swap: ContextSwap) => void;
  /** Queues with some tags have changed. */
  readonly onTags: (update: QueueUpdated) => void;
  /** The stream stands again after a break. */
  readonly onReconnected: () => void;
}

/** The gate of a run and its control stream, and what is told of them. */
export class GateWatch {
  readonly gate: OrderGate;
  readonly session: ControlSession;
  readonly #options: GateWatchOptions;
  readonly #reach: ReachWatch;
  #isArmed = false;

  constructor(options: GateWatchOptions, reach: ReachWatch) {
    const { services, clock, sessionId, worldId, strategyId, onSwap, onTags } = options;
    this.#options = options;
    this.#reach = reach;
    this.gate = new OrderGate(clock, { sessionId, worldId, strategyId });
    this.session = new ControlSession({
      control: services.control,
      clock,
      gate: this.gate,
      sessionId,
      worldId,
      strategyId,
      listener: {
        onGate: (reason) => this.#gateChanged(reason),
        onSwap,
        onTags,
        onConnection: (isUp, problem) => this.#connection(isUp, problem),
      },
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
    if (isArmed === this.#isArmed) return;
    this.#isArmed = isArmed;
    if (isArmed) {
      tell("gate_opened", `orders may leave (${this.gate.mode()})`);
      onArmed();
    } else tell("gate_shut", [refusal, reason].filter((part) => part !== "").join(": "));
  }

  #connection(isUp: boolean, problem: string): void {
    const { services, tell, onReconnected } = this.#options;
    if (!isUp) {
      this.#reach.lost(problem);
      return;
    }
    const wasUp = this.#reach.isUp;
    this.#reach.isUp = true;
    tell("connected", `control stream of ${services.url}`);
    if (!wasUp) onReconnected();
  }
}

/** Whether the gateway can be reached; tells once when it cannot. */
export class ReachWatch {
  isUp = true;
  readonly #url: string;
  readonly #tell: GateWatchOptions["tell"];

  constructor(url: string, tell: GateWatchOptions["tell"]) {
    this.#url = url;
    this.#tell = tell;
  }

  /** It cannot be reached. */
  lost(problem: string): void {
    if (!this.isUp) return;
    this.isUp = false;
    const fix = 'start it with "qmtl up", or set sdk.gateway_url or --gateway';
    this.#tell("unreachable", `no gateway at ${this.#url} (${problem}): no order leaves; ${fix}`);
  }
}
