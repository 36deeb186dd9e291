import { type Activation, compareActivations, type GateState } from "./gate-state.ts";

/**
 * The change from one revision to the next: the whole new header, the leaves that changed, and the
 * leaves that went. It applies only to the state one revision before it.
 */
export interface GateDelta extends Omit<GateState, "activations"> {
  readonly changed: readonly Activation[];
  readonly removed: readonly Pick<Activation, "strategyId" | "side">[];
}

/** The delta that leads from `before` to `after`. */
export function diffGateState(before: GateState, after: GateState): GateDelta {
  const { activations, ...header } = after;
  const old = leavesOf(before.activations);
  const changed = activations.filter((a) => {
    const leaf = old.get(nameOf(a));
    return leaf === undefined || !isSameLeaf(leaf, a);
  });
  const left = leavesOf(activations);
  const removed = before.activations
    .filter((b) => !left.has(nameOf(b)))
    .map(({ strategyId, side }) => ({ strategyId, side }));
  return { ...header, changed, removed };
}

function leavesOf(activations: readonly Activation[]): ReadonlyMap<string, Activation> {
  return new Map(activations.map((a) => [nameOf(a), a]));
}

/** Unique key of a leaf: sides have no colon, so no two leaves get the same key. */
function nameOf({ side, strategyId }: Pick<Activation, "side" | "strategyId">): string {
  return `${side}:${strategyId}`;
}

/** The state after a delta. The caller has checked that it is the next revision. */
export function applyGateDelta(state: GateState, delta: GateDelta): GateState {
  const { changed, removed, ...header } = delta;
  const isReplaced = (a: Activation): boolean =>
    changed.some((c) => compareActivations(c, a) === 0) ||
    removed.some((r) => r.strategyId === a.strategyId && r.side === a.side);
  const kept = state.activations.filter((a) => !isReplaced(a));
  return { ...header, activations: [...kept, ...changed].sort(compareActivations) };
}

function isSameLeaf(a: Activation, b: Activation): boolean {
  return (
    a.active === b.active &&
    a.weight === b.weight &&
    a.freeze === b.freeze &&
    a.drain === b.drain &&
    a.effectiveMode === b.effectiveMode
  );
}
