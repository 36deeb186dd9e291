import { type ModelState, tickMs } from "./gate-world.ts";

/** Checks I1a and I1b at the instant an order leaves; null when both hold. */
export function orderViolation(x: ModelState, fence: number, decisionId: string): string | null {
  const { row } = x.stored;
  const lease = row.maxLeaseMs / tickMs;
  const old = (at: number | null): boolean => at !== null && x.t - at >= lease;
  if (row.gate === "CLOSED")
    return `I1a: an order of fence ${fence} left while the gate is CLOSED under fence ${row.fence}`;
  if (fence !== x.openFence)
    return `I1a: an order left under fence ${fence}, the one opened last is ${x.openFence}`;
  if (row.gate === "OPEN" && decisionId !== row.decision.id)
    return `I1a: an order left with ${decisionId}, W has ${row.decision.id}`;
  if (old(x.closedAt)) return "I1b: an order left G or more after the freeze commit";
  if (old(x.downAt)) return "I1b: an order left G or more after W went down";
  if (old(x.offAt)) return "I1b: an order left G or more after the activation was switched off";
  return x.isDecisionDead ? "I1b: an order left after the decision's time to live" : null;
}
