import type { WantedAllocation } from "./upsert-allocations.ts";

/**
 * A wanted allocation with the share of every bound strategy: those left out keep their standing one. Where none was
 * ever set and none is given, the strategies share the world equally, as the gateway gives them their capital.
 *
 * @param standing allocations in force; a strategy without a share of its own has 0
 */
export function completeShares(
  wanted: WantedAllocation,
  standing: readonly WantedAllocation[],
): WantedAllocation {
  const before = standing.find((one) => one.worldId === wanted.worldId)?.shares ?? new Map();
  const isUnset = wanted.shares.size === 0 && [...before.values()].every((share) => share === 0);
  if (!isUnset) return { ...wanted, shares: new Map([...before, ...wanted.shares]) };
  return { ...wanted, shares: new Map([...before.keys()].map((id) => [id, 1 / before.size])) };
}
