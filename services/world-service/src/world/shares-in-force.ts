import type { BindingRow } from "../store/world-rows.ts";

/** A bound strategy with the share of its world's capital that is in force. */
export type SharedBinding = BindingRow & { readonly share: number };

/**
 * The strategies bound to a world, each with the share in force. As long as no share of any of them was ever set they
 * have the world in equal parts, those that only validate too; from then on one without a share of its own has 0. This
 * alone decides the shares: what is shown, what is planned, and what the gateway gives capital by.
 */
export function withSharesInForce(bound: readonly BindingRow[]): SharedBinding[] {
  const isSplit = bound.some((binding) => binding.ownShare !== null);
  return bound.map((binding) => ({
    ...binding,
    share: isSplit ? (binding.ownShare ?? 0) : 1 / bound.length,
  }));
}
