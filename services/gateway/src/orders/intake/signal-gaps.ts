import type { GaugeMetric, Metrics } from "@qmtl/service-kit";

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

/**
 * Which targets have had no signal for long, as runners reported last. The metric `signal_stale` has a series for each
 * strategy that has such a target, and none for others, 500 at most.
 */
export class SignalGaps {
  readonly #gauge: GaugeMetric;
  /** World, then strategy. */
  readonly #gaps = new Map<string, Map<string, readonly SignalGap[]>>();
  readonly #series = new Set<string>();

  constructor(metrics: Metrics) {
    const help =
      "Largest number of buckets in a row at which a target of a strategy has had no signal";
    this.#gauge = metrics.gauge("signal_stale", help, ["world", "strategy"]);
  }

  /** Takes what a runner says of these strategies; one without an entry has none. */
  stated(world: string, strategies: readonly string[], gaps: readonly SignalGap[]): void {
    for (const strategy of strategies) {
      const own = gaps.filter((gap) => gap.strategy === strategy);
      const known = this.#gaps.get(world)?.has(strategy) === true;
      if (own.length > 0) this.#keep(world, strategy, own);
      else if (known) this.#drop(world, strategy);
    }
  }

  of(world: string, strategy: string): readonly SignalGap[] {
    return this.#gaps.get(world)?.get(strategy) ?? [];
  }

  #keep(world: string, strategy: string, own: readonly SignalGap[]): void {
    const all = this.#gaps.get(world) ?? new Map<string, readonly SignalGap[]>();
    all.set(strategy, own);
    this.#gaps.set(world, all);
    const name = JSON.stringify([world, strategy]);
    if (!this.#series.has(name) && this.#series.size >= seriesMax) return;
    this.#series.add(name);
    this.#gauge.set(Math.max(...own.map(({ buckets }) => buckets)), { world, strategy });
  }

  #drop(world: string, strategy: string): void {
    this.#gaps.get(world)?.delete(strategy);
    if (this.#series.delete(JSON.stringify([world, strategy])))
      this.#gauge.remove({ world, strategy });
  }
}
