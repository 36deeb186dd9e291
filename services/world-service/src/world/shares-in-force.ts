import type { BindingRow } from "../store/world-rows.ts";

/** A bound strategy with the share of its world's capital that is in force. */
export type SharedBinding = BindingRow & { readonly share: number };

/**
 * The strategies bound to a world, each with its share in force. While none of them has a share of its own, they have
 * equal shares, also those at validate; as soon as one has, those without have 0. This function alone decides the
 * shares that are shown, that plans use, and by which the gateway assigns capital.
 */
export function withSharesInForce(bound: readonly BindingRow[]): SharedBinding[] {
  const isSplit = bound.some((binding) => binding.ownShare !== null);
  return bound.map((binding) => ({
    ...binding,
    share: isSplit ? (binding.ownShare ?? 0) : 1 / bound.length,
  }));
}
