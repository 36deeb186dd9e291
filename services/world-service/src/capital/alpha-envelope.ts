import { alphaPerformance } from "@qmtl/core/metrics";
import type { Queryable } from "@qmtl/service-kit/db";
import { readSeries } from "../store/returns-table.ts";
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
 * and of worlds on the share-weighted sum of their strategies' common last returns.
 */
export async function alphaEnvelope(
  db: Queryable,
  actors: readonly WorldActor[],
): Promise<AlphaEnvelope> {
  const perWorld: Record<string, AlphaValues> = {};
  const perStrategy: Record<string, AlphaValues> = {};
  for (const actor of actors) {
    const stored = await readSeries(db, actor.worldId, actor.state.heads.values());
    const weighted: { readonly share: number; readonly returns: Float64Array }[] = [];
    for (const { strategyId, share } of boundStrategies(actor.state)) {
      const mine = stored.filter((s) => s.strategyId === strategyId);
      const best = (["live", "dryrun", "backtest"] as const)
        .map((domain) => mine.find((s) => s.series.source === domain && s.series.samples > 0))
        .find((found) => found !== undefined);
      if (best === undefined) continue;
      perStrategy[`${actor.worldId}/${strategyId}`] = valuesOf(best.dated.returns);
      weighted.push({ share, returns: best.dated.returns });
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

/** Σ share × return over the last buckets that all of them have. */
function weightedSum(
  parts: readonly { readonly share: number; readonly returns: Float64Array }[],
): Float64Array {
  const length = Math.min(...parts.map((p) => p.returns.length), Number.MAX_SAFE_INTEGER);
  if (parts.length === 0) return new Float64Array(0);
  const sum = new Float64Array(length);
  for (const { share, returns } of parts) {
    const from = returns.length - length;
    for (let i = 0; i < length; i++) sum[i] = (sum[i] ?? 0) + share * (returns[from + i] ?? 0);
  }
  return sum;
}
