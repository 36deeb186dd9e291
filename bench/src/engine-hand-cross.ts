/** Crossing of two averages, with fee and equity, as one hand-written loop: the same sums, the same NaN rules. */
export function handCross(
  x: Float64Array,
  equity: Float64Array,
  rows: number,
  fast: number,
  slow: number,
  fee: number,
): void {
  const suffixF = new Float64Array(fast + 1);
  const suffixS = new Float64Array(slow + 1);
  let positionF = 0;
  let positionS = 0;
  let prefixF = 0;
  let prefixS = 0;
  let side = 0;
  let value = 1;
  let last = Number.NaN;
  for (let i = 0; i < rows; i++) {
    const now = x[i]!;
    if (positionF === 0) {
      fillSuffix(suffixF, x, i, fast);
      prefixF = 0;
    }
    if (positionS === 0) {
      fillSuffix(suffixS, x, i, slow);
      prefixS = 0;
    }
    prefixF += now;
    prefixS += now;
    positionF++;
    positionS++;
    const meanF = (suffixF[positionF]! + prefixF) / fast;
    const meanS = (suffixS[positionS]! + prefixS) / slow;
    if (positionF === fast) positionF = 0;
    if (positionS === slow) positionS = 0;
    const change = now / last - 1;
    if (!Number.isNaN(change)) value *= 1 + side * change;
    if (!Number.isNaN(now)) last = now;
    const next = meanF > meanS ? 1 : meanF <= meanS ? 0 : side;
    if (next !== side) value *= 1 - fee;
    side = next;
    equity[i] = value;
  }
}

/** Suffix sums of the block of `n` values before `end`; NaN where the block begins before the first value. */
export function fillSuffix(suffix: Float64Array, x: Float64Array, end: number, n: number): void {
  let sum = 0;
  for (let j = n - 1; j >= 1; j--) {
    const k = end - n + j;
    sum += k < 0 ? Number.NaN : x[k]!;
    suffix[j] = sum;
  }
}
