import { alphaPerformance } from "@qmtl/core/metrics";
import type { Queryable } from "@qmtl/service-kit/db";
import { returnsByInterval } from "../policy/correlation.ts";
import { readSeries, type StoredSeries } from "../store/returns-table.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies } from "../world/world-state.ts";

/** Alpha metrics by name; undefined and infinite ones are absent. */
interface AlphaValues {
  readonly values: Readonly<Record<string, number>>;
  readonly samples: number;
}

/** Alpha metrics of worlds and of "world/strategy". */
interface AlphaEnvelope {
  readonly perWorld: Readonly<Record<string, AlphaValues>>;
  readonly perStrategy: Readonly<Record<string, AlphaValues>>;
}

/**
 * Alpha metrics of strategies on the returns of their highest measured domain (live, dryrun, backtest),
 * one return per returns interval, and of worlds on the share-weighted sum of their strategies' returns.
 */
export async function alphaEnvelope(
  db: Queryable,
  actors: readonly WorldActor[],
): Promise<AlphaEnvelope> {
  const perWorld: Record<string, AlphaValues> = {};
  const perStrategy: Record<string, AlphaValues> = {};
  for (const actor of actors) {
    const stored = await readSeries(db, actor.worldId, actor.state.heads.values());
    const weighted: WeightedSeries[] = [];
    for (const { strategyId, share } of boundStrategies(actor.state)) {
      const mine = stored.filter((s) => s.strategyId === strategyId);
      const best = (["live", "dryrun", "backtest"] as const)
        .map((domain) => mine.find((s) => s.series.source === domain && s.series.samples > 0))
        .find((found) => found !== undefined);
      if (best === undefined) continue;
      perStrategy[`${actor.worldId}/${strategyId}`] = valuesOf(best.series.returns);
      weighted.push({ share, stored: best });
    }
    perWorld[actor.worldId] = valuesOf(weightedSum(weighted));
  }
  return { perWorld, perStrategy };
}

function valuesOf(returns: Float64Array): AlphaValues {
  const { samples, ...values } = alphaPerformance(returns);
  const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value));
  return { values: samples === 0 ? {} : Object.fromEntries(finite), samples };
}

/** A strategy's series with its share of the world's capital. */
interface WeightedSeries {
  readonly share: number;
  readonly stored: StoredSeries;
}

/**
 * Σ share × return per returns interval, the longest of theirs, from where the last of them begins to where the first
 * ends. A strategy without a bar in an interval earned nothing there. If one of them has no bucket ends, their last
 * returns are added by position.
 */
function weightedSum(parts: readonly WeightedSeries[]): Float64Array {
  if (parts.length === 0) return new Float64Array(0);
  if (parts.some(({ stored }) => stored.marked.endsMs.length === 0)) return sumByPosition(parts);
  const seconds = Math.max(...parts.map(({ stored }) => stored.marked.intervalSeconds));
  const sums = new Map<number, number>();
  let [first, last] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const { share, stored } of parts) {
    const returns = returnsByInterval(stored.marked, seconds);
    for (const [interval, value] of returns) {
      sums.set(interval, (sums.get(interval) ?? 0) + share * value);
    }
    const intervals = [...returns.keys()];
    first = Math.max(first, intervals[0]!);
    last = Math.min(last, intervals.at(-1)!);
  }
  const common = [...sums].filter(([interval]) => interval >= first && interval <= last);
  return Float64Array.from(
    common.toSorted(([a], [b]) => a - b),
    ([, sum]) => sum,
  );
}

function sumByPosition(parts: readonly WeightedSeries[]): Float64Array {
  const length = Math.min(...parts.map(({ stored }) => stored.series.samples));
  const sum = new Float64Array(length);
  for (const { share, stored } of parts) {
    const { returns, samples } = stored.series;
    for (let i = 0; i < length; i++) sum[i]! += share * returns[samples - length + i]!;
  }
  return sum;
}
