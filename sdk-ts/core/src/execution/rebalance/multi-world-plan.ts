import {
  netDeltas,
  planWorldScaling,
  type ScalingDelta,
  type ScalingPosition,
  type ScalingRules,
  type WorldScalingPlan,
} from "./scaling-plan.ts";

/** Strategy totals as shares of account equity, by world, then strategy. */
export type StrategyTotals = ReadonlyMap<string, ReadonlyMap<string, number>>;

export interface MultiScalingInput extends ScalingRules {
  readonly totalEquity: number;
  readonly worldsBefore: ReadonlyMap<string, number>;
  readonly worldsAfter: ReadonlyMap<string, number>;
  /** Given totals replace the inferred ones of their world. @default inferred */
  readonly strategiesBefore?: StrategyTotals;
  readonly strategiesAfter?: StrategyTotals;
  readonly positions: readonly ScalingPosition[];
}

export type MultiScalingPlan =
  | {
      readonly ok: true;
      /** Worlds that hold positions, in the order they first appear there. */
      readonly perWorld: ReadonlyMap<string, WorldScalingPlan>;
      /** Net trades outside the account. */
      readonly globalDeltas: readonly ScalingDelta[];
    }
  | { readonly ok: false; readonly reason: "ALLOCATION_SUM_ABOVE_ONE" | "ALLOCATION_OUT_OF_RANGE" };

/** Slack of the sum of ratios, for float noise. */
const RATIO_TOLERANCE = 1e-9;

/**
 * Scaling plans of several worlds of one account, and their net.
 *
 * Strategy totals before, unless given, are inferred from gross notional: Σ |quantity × mark| ÷ equity; after =
 * before × the world's scale. Without equity the world's ratio stands in; a world at 0 has totals of 0. Ratios
 * outside [0, 1], or after-ratios that sum above 1, refuse the plan.
 */
export function planMultiScaling(input: MultiScalingInput): MultiScalingPlan {
  const ratios = [...input.worldsAfter.values()];
  if ([...ratios, ...input.worldsBefore.values()].some((ratio) => !(ratio >= 0 && ratio <= 1))) {
    return { ok: false, reason: "ALLOCATION_OUT_OF_RANGE" };
  }
  if (ratios.reduce((sum, ratio) => sum + ratio, 0) > 1 + RATIO_TOLERANCE) {
    return { ok: false, reason: "ALLOCATION_SUM_ABOVE_ONE" };
  }
  const perWorld = new Map<string, WorldScalingPlan>();
  for (const world of new Set(input.positions.map((position) => position.worldId))) {
    perWorld.set(world, planOne(world, input));
  }
  const globalDeltas = netDeltas([...perWorld.values()], input.positions, input);
  return { ok: true, perWorld, globalDeltas };
}

function planOne(world: string, input: MultiScalingInput): WorldScalingPlan {
  const positions = input.positions.filter((position) => position.worldId === world);
  const worldBefore = input.worldsBefore.get(world) ?? 0;
  const worldAfter = input.worldsAfter.get(world) ?? 0;
  const scale = worldBefore > 0 ? worldAfter / worldBefore : worldAfter > 0 ? 1 : 0;
  const strategyBefore =
    input.strategiesBefore?.get(world) ?? inferTotals(positions, input.totalEquity, worldBefore);
  const strategyAfter =
    input.strategiesAfter?.get(world) ??
    new Map([...strategyBefore].map(([strategy, before]) => [strategy, before * scale]));
  return planWorldScaling({
    ...input,
    worldBefore,
    worldAfter,
    strategyBefore,
    strategyAfter,
    positions,
  });
}

function inferTotals(
  positions: readonly ScalingPosition[],
  equity: number,
  worldRatio: number,
): Map<string, number> {
  const totals = new Map<string, number>();
  for (const { strategyId, quantity, mark } of positions) {
    const gross = mark > 0 ? Math.abs(quantity) * mark : 0;
    const share = worldRatio <= 0 ? 0 : equity > 0 ? gross / equity : 0;
    totals.set(strategyId, (totals.get(strategyId) ?? 0) + share);
  }
  if (worldRatio > 0 && !(equity > 0)) {
    for (const strategy of totals.keys()) {
      totals.set(strategy, worldRatio);
    }
  }
  return totals;
}
