import { hasReason } from "@qmtl/sdk/rpc";
import type {
  Clock,
  ClockTimer,
  GaugeMetric,
  Logger,
  Metrics,
  SessionScope,
} from "@qmtl/service-kit";
import type { RunListener, RunningSession } from "../../ports.ts";
import type { WorldPeer } from "../gate/world-peer.ts";

/** Buckets in a row at which a target of a strategy has had no signal, as its runner counts them. */
export interface SignalGap {
  readonly strategy: string;
  readonly instrument: string;
  readonly buckets: number;
  /** Name of the target node. */
  readonly target: string;
  /** The nearest source without a value; empty if all have one. */
  readonly source: string;
}

/** Largest number of strategies with a series in the metric: each is a time series. */
const seriesMax = 500;
/** Largest number of gaps that are kept; a strategy whose gaps are more than still fit has none. */
const gapsMax = 100_000;
/** Longest silence of a session that runs, milliseconds: no order lease is longer, and each is renewed thrice in it. */
const silentMsMax = 30_000;
/** Interval at which silent sessions are looked for, and bindings read again, milliseconds. */
const lookMs = 5_000;

interface SignalGapsPorts {
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly peer: Pick<WorldPeer, "bound">;
}

/** A strategy of a world, with the gaps that each session reported that runs it. */
interface StrategyGaps {
  readonly world: string;
  readonly strategy: string;
  readonly bySession: Map<string, readonly SignalGap[]>;
  /** As WorldService said last; unknown if it did not answer, and has not since. */
  binding: "unasked" | "unknown" | "bound" | "unbound";
  /** WorldService is to be asked. */
  isAwaited: boolean;
}

/** A session that reported gaps, and of which strategies. */
interface ReportingSession {
  heardMs: number;
  readonly strategies: Set<StrategyGaps>;
}

/**
 * Which targets have had no signal for long, as the sessions that run their strategies reported last. What a session
 * reported is forgotten when it ends, is silent for 30 s or is dropped from its feeds; of one strategy, when its ticket
 * no longer covers it, because it was taken out. Of a strategy that is not bound to the world nothing is told, although
 * its runner may go on. Nothing is stored.
 *
 * The metric `signal_stale` has a series for each strategy that has such a target, and none for others, 500 at most.
 */
export class SignalGaps implements RunListener {
  readonly #ports: SignalGapsPorts;
  readonly #gauge: GaugeMetric;
  /** World, then strategy. */
  readonly #worlds = new Map<string, Map<string, StrategyGaps>>();
  readonly #sessions = new Map<string, ReportingSession>();
  readonly #series = new Set<StrategyGaps>();
  readonly #asking = new Map<string, Promise<void>>();
  #size = 0;
  #timer: ClockTimer | undefined;
  #isClosed = false;

  constructor(ports: SignalGapsPorts) {
    this.#ports = ports;
    const help =
      "Largest number of buckets in a row at which a target of a strategy has had no signal";
    this.#gauge = ports.metrics.gauge("signal_stale", help, ["world", "strategy"]);
  }

  /** Takes what a session says of these strategies, which it runs; one without an entry has none. */
  stated(
    { sessionId, worldId }: Pick<SessionScope, "sessionId" | "worldId">,
    strategies: readonly string[],
    gaps: readonly SignalGap[],
  ): void {
    if (this.#isClosed) return;
    for (const strategy of strategies) {
      const own = gaps.filter((gap) => gap.strategy === strategy);
      const known = this.#worlds.get(worldId)?.get(strategy);
      if (own.length > 0) this.#take(known ?? this.#add(worldId, strategy), sessionId, own);
      else if (known !== undefined) this.#take(known, sessionId, []);
    }
    this.#hear(sessionId);
  }

  /** The gaps of a strategy, as the session states them that has counted the longest. */
  async of(world: string, strategy: string): Promise<readonly SignalGap[]> {
    await this.#asking.get(world);
    const known = this.#worlds.get(world)?.get(strategy);
    return known === undefined ? [] : toldOf(known);
  }

  heard({ sessionId, strategyIds }: RunningSession): void {
    const session = this.#hear(sessionId);
    for (const known of session?.strategies ?? [])
      if (!strategyIds.includes(known.strategy)) this.#take(known, sessionId, []);
  }

  ended(sessionId: string): void {
    for (const known of this.#sessions.get(sessionId)?.strategies ?? [])
      this.#take(known, sessionId, []);
  }

  bindingsChanged(worldId: string): void {
    const strategies = this.#worlds.get(worldId);
    for (const known of strategies?.values() ?? []) known.isAwaited = true;
    if (strategies !== undefined) void this.#ask(worldId);
  }

  /** Ends every series: who runs is reported to whichever gateway leads next. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const sessionId of [...this.#sessions.keys()]) this.ended(sessionId);
  }

  #hear(sessionId: string): ReportingSession | undefined {
    const session = this.#sessions.get(sessionId);
    if (session !== undefined) session.heardMs = this.#ports.clock.monotonicMs();
    return session;
  }

  #add(world: string, strategy: string): StrategyGaps {
    const added: StrategyGaps = {
      ...{ world, strategy, bySession: new Map() },
      ...{ binding: "unasked", isAwaited: true },
    };
    const strategies = this.#worlds.get(world) ?? new Map<string, StrategyGaps>();
    this.#worlds.set(world, strategies.set(strategy, added));
    return added;
  }

  /** Replaces what a session said of a strategy; nothing is kept for none, or for more than still fit. */
  #take(known: StrategyGaps, sessionId: string, own: readonly SignalGap[]): void {
    const { world, strategy, bySession } = known;
    const size = this.#size - (bySession.get(sessionId)?.length ?? 0);
    const kept = size + own.length > gapsMax ? [] : own;
    this.#size = size + kept.length;
    const session = this.#sessions.get(sessionId) ?? { heardMs: 0, strategies: new Set() };
    if (kept.length > 0) {
      bySession.set(sessionId, kept);
      this.#sessions.set(sessionId, session);
      session.strategies.add(known);
    } else {
      bySession.delete(sessionId);
      session.strategies.delete(known);
      if (session.strategies.size === 0) this.#sessions.delete(sessionId);
      const strategies = this.#worlds.get(world);
      if (bySession.size === 0) strategies?.delete(strategy);
      if (strategies?.size === 0) this.#worlds.delete(world);
    }
    this.#show(known);
    if (known.isAwaited) void this.#ask(world);
    this.#lookSoon();
  }

  #show(known: StrategyGaps): void {
    const { world, strategy } = known;
    const buckets = bucketsOf(toldOf(known));
    if (buckets === 0) {
      if (this.#series.delete(known)) this.#gauge.remove({ world, strategy });
      return;
    }
    if (!this.#series.has(known) && this.#series.size >= seriesMax) return;
    this.#series.add(known);
    this.#gauge.set(buckets, { world, strategy });
  }

  /** Asks which strategies of a world are bound, until no answer is awaited; joins a question that is under way. */
  #ask(world: string): Promise<void> {
    let asking = this.#asking.get(world);
    if (asking === undefined) {
      asking = Promise.resolve().then(() => this.#askAll(world));
      this.#asking.set(world, asking);
    }
    return asking;
  }

  async #askAll(world: string): Promise<void> {
    const awaited = () =>
      [...(this.#worlds.get(world)?.values() ?? [])].filter(({ isAwaited }) => isAwaited);
    for (let asked = awaited(); asked.length > 0 && !this.#isClosed; asked = awaited()) {
      // What comes to be awaited from here on was perhaps bound after the answer.
      for (const known of asked) known.isAwaited = false;
      const bound = await this.#bound(world);
      for (const known of asked) {
        if (bound !== undefined) known.binding = bound.has(known.strategy) ? "bound" : "unbound";
        else if (known.binding === "unasked") known.binding = "unknown";
        this.#show(known);
      }
    }
    this.#asking.delete(world);
  }

  /** The strategies that are bound to a world; undefined when WorldService does not say. */
  async #bound(world: string): Promise<ReadonlySet<string> | undefined> {
    try {
      return await this.#ports.peer.bound(world);
    } catch (error) {
      if (hasReason(error, "WORLD_NOT_FOUND")) return new Set();
      this.#ports.logger.debug("bindings not read", { world, error });
      return undefined;
    }
  }

  #lookSoon(): void {
    if (this.#isClosed || this.#sessions.size === 0) return;
    this.#timer ??= this.#ports.clock.setTimer(() => void this.#look(), lookMs);
  }

  /** Forgets silent sessions, and reads the bindings again: they also change by other gateways. */
  async #look(): Promise<void> {
    const nowMs = this.#ports.clock.monotonicMs();
    for (const [sessionId, { heardMs }] of [...this.#sessions])
      if (nowMs - heardMs >= silentMsMax) this.ended(sessionId);
    for (const [world, strategies] of [...this.#worlds]) {
      for (const known of strategies.values()) known.isAwaited = true;
      await this.#ask(world);
    }
    this.#timer = undefined;
    this.#lookSoon();
  }
}

/** What is told of a strategy: the gaps of the session that has counted the longest, and none while it is not bound. */
function toldOf({ binding, bySession }: StrategyGaps): readonly SignalGap[] {
  if (binding !== "bound" && binding !== "unknown") return [];
  let longest: readonly SignalGap[] = [];
  for (const own of bySession.values()) if (bucketsOf(own) > bucketsOf(longest)) longest = own;
  return longest;
}

function bucketsOf(gaps: readonly SignalGap[]): number {
  return gaps.reduce((most, { buckets }) => Math.max(most, buckets), 0);
}
