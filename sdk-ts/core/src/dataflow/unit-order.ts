import { feedbackGroups } from "./feedback-groups.ts";
import type { GraphNode } from "./graph.ts";

/** Nodes that run together: a single node, or the members of a feedback loop. */
export interface Unit {
  readonly ids: readonly string[];
  readonly loops: boolean;
}

/** Units in topological order, members in the given order. Every input outside the unit comes first, delayed or not. */
export function unitOrder(
  byId: ReadonlyMap<string, GraphNode>,
  order: readonly string[],
): readonly Unit[] {
  const groups = feedbackGroups(byId);
  const unitOf = new Map<string, { ids: string[]; loops: boolean }>();
  const ofGroup = new Map<number, { ids: string[]; loops: boolean }>();
  for (const id of order) {
    const group = groups.get(id);
    const known = group === undefined ? undefined : ofGroup.get(group);
    const unit = known ?? { ids: [], loops: group !== undefined };
    if (group !== undefined) ofGroup.set(group, unit);
    unit.ids.push(id);
    unitOf.set(id, unit);
  }
  const sorted: Unit[] = [];
  const seen = new Set<Unit>();
  const stack: { unit: Unit; open: string[] }[] = [];
  const enter = (unit: Unit) => {
    seen.add(unit);
    const open = unit.ids
      .flatMap((id) => byId.get(id)!.inputs.map((input) => input.node))
      .reverse();
    stack.push({ unit, open });
  };
  for (const id of order) {
    if (!seen.has(unitOf.get(id)!)) enter(unitOf.get(id)!);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.open.pop();
      if (next === undefined) sorted.push(stack.pop()!.unit);
      else if (!seen.has(unitOf.get(next)!)) enter(unitOf.get(next)!);
    }
  }
  return sorted;
}
