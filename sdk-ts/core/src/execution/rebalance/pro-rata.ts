/**
 * Shares `lots` among `weights` in proportion, whole lots, exact sum.
 *
 * Each gets the floor of its share; the lots left over go one each to the largest remainders, ties to the
 * earlier weight. No share exceeds its weight as long as `lots ≤ Σ weights`. Computed in integers.
 *
 * @param lots whole, ≥ 0
 * @param weights whole, ≥ 0
 * @throws {RangeError} for values that are not whole or negative, or lots without any weight
 */
export function shareProRata(lots: number, weights: readonly number[]): number[] {
  if ([lots, ...weights].some((value) => !Number.isSafeInteger(value) || value < 0)) {
    throw new RangeError("lots and weights must be whole numbers of at least 0, below 2^53");
  }
  const total = weights.reduce((sum, weight) => sum + BigInt(weight), 0n);
  if (lots === 0) {
    return weights.map(() => 0);
  }
  if (total === 0n) {
    throw new RangeError("there is no weight to share by");
  }
  const products = weights.map((weight) => BigInt(weight) * BigInt(lots));
  const shares = products.map((product) => Number(product / total));
  let left = lots - shares.reduce((sum, share) => sum + share, 0);
  const byRemainder = products
    .map((product, index) => ({ index, remainder: product % total }))
    .sort((a, b) =>
      a.remainder === b.remainder ? a.index - b.index : a.remainder > b.remainder ? -1 : 1,
    );
  for (const { index } of byRemainder) {
    if (left === 0) {
      break;
    }
    shares[index]! += 1;
    left -= 1;
  }
  return shares;
}
