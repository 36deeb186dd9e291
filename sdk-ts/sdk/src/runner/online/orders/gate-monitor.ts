import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import type { QmtlConfig } from "../../../config/index.ts";
import {
  type ControlListener,
  ControlSession,
  OrderGate,
  type SdkClock,
  type TicketKeeper,
} from "../../../control/index.ts";
import { isAnswer } from "../../../rpc/index.ts";
import type { ConnectionMonitor } from "../session/connection-monitor.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { OnlineServices } from "../session/services.ts";
import type { HostedStrategy } from "./hosted-strategy.ts";

interface GateMonitorOptions {
  readonly services: OnlineServices;
  readonly clock: SdkClock;
  readonly tickets: TicketKeeper;
  readonly worldId: string;
  /** The strategies of the session, all of them submitted. */
  readonly strategies: readonly HostedStrategy[];
  /** Section `sdk` of the configuration. */
  readonly sdk: QmtlConfig["sdk"];
  /** Highest domain in which orders may leave; null: as the world grants. */
  readonly domainMax: ExecutionDomain | null;
  readonly reports: RunReports;
  readonly connection: ConnectionMonitor;
  readonly listener: GateListener;
}

/** Notified of events of the control stream. Implemented by `RunParts`. */
export interface GateListener {
  /** Orders of a strategy may leave from now on. */
  gateArmed(strategy: HostedStrategy): void;
  swapPhase(swap: ContextSwap): void;
  /** The queues that match a tag query have changed. */
  tagsChanged(): void;
  /** Feeds that dropped this session. */
  feedsDropped(sources: readonly string[]): void;
  /** The store of the queues was restored from a backup. */
  queuesRestored(): void;
  /** The platform can be reached again after a loss. */
  reconnected(): void;
}

/**
 * Number of consecutive heartbeats that services behind the gateway may leave unanswered before that counts as a loss.
 */
const unansweredMax = 1;

/** The gate of a run's strategies and its control stream; reports their state. */
export class GateMonitor implements ControlListener {
  readonly gate: OrderGate;
  readonly session: ControlSession;
  readonly #options: GateMonitorOptions;
  #isStreamUp = false;
  /** Strategies to which the world grants a higher domain than this run allows. */
  readonly #above = new Set<HostedStrategy>();
  #unanswered = 0;

  constructor(options: GateMonitorOptions) {
    const { services, clock, tickets, worldId, sdk } = options;
    const { sessionId } = tickets;
    const strategyIds = options.strategies.map(({ strategyId }) => strategyId);
    this.#options = options;
    this.gate = new OrderGate(clock, { sessionId, worldId, strategyIds }, options.domainMax);
    this.session = new ControlSession({
      control: services.control,
      clock,
      gate: this.gate,
      tickets,
      worldId,
      listener: this,
      silenceMsMax: sdk.stream_silence_ms_max,
      totalMsMax: sdk.stream_total_ms_max,
    });
  }

  onGate(reason: string): void {
    for (const strategy of this.#options.strategies)
      if (!strategy.isOut) this.#look(strategy, reason);
  }

  #look(strategy: HostedStrategy, reason: string): void {
    const { strategyId, reports } = strategy;
    const refusal = this.gate.refusal({ strategyId, sides: ["long", "short"] });
    const isArmed = refusal === null;
    this.#reportDomain(strategy);
    if (isArmed === strategy.isArmed) return;
    strategy.isArmed = isArmed;
    if (isArmed) {
      reports.event("gate_opened", `orders may leave (${this.gate.mode(strategyId)})`);
      this.#options.listener.gateArmed(strategy);
    } else reports.event("gate_shut", [refusal, reason].filter((part) => part !== "").join(": "));
  }

  onSwap(swap: ContextSwap): void {
    this.#options.listener.swapPhase(swap);
  }

  onTags(): void {
    this.#options.listener.tagsChanged();
  }

  onUnregistered(sources: readonly string[]): void {
    this.#options.listener.feedsDropped(sources);
  }

  onQueuesRestored(): void {
    this.#options.listener.queuesRestored();
  }

  onConnected(): void {
    this.#connected(`control stream of ${this.#options.services.url}`);
  }

  onLost(failure: unknown): void {
    this.#isStreamUp = false;
    this.#options.connection.lost(failure);
  }

  /**
   * The stream stays open while WorldService is away: only heartbeats show that. Without a stream they prove nothing.
   */
  onHeartbeat(failure: unknown): void {
    const { connection } = this.#options;
    const { state } = connection.now;
    if (failure === undefined) {
      this.#unanswered = 0;
      if (this.#isStreamUp && state !== "connected") this.#connected("all services answer again");
    } else if (isAnswer(failure) && state === "connected") {
      this.#unanswered++;
      if (this.#unanswered > unansweredMax) connection.lost(failure);
    }
  }

  /** Reports once that the world grants a strategy a higher domain than this run allows. */
  #reportDomain(strategy: HostedStrategy): void {
    const { strategyId, reports } = strategy;
    const isAbove = this.gate.isAboveDomain(strategyId);
    if (isAbove === this.#above.has(strategy)) return;
    if (!isAbove) {
      this.#above.delete(strategy);
      return;
    }
    this.#above.add(strategy);
    strategy.isArmed = false;
    const { domainMax } = this.#options;
    const granted = this.gate.domain(strategyId);
    reports.event(
      "gate_shut",
      `ABOVE_EXECUTION_DOMAIN: the world grants ${granted}, this run sends up to ${domainMax}: it computes and no order leaves; sdk.execution_domain, or the option executionDomain, says how far it may go`,
    );
  }

  #connected(what: string): void {
    this.#isStreamUp = true;
    this.#unanswered = 0;
    const { connection, reports, listener } = this.#options;
    const wasLost = connection.reached();
    reports.event("connected", what);
    if (wasLost) listener.reconnected();
  }
}
