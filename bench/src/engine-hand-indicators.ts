/** The indicators of the bench as hand-written loops over whole columns: same algorithms, no engine. */

/** Sum over a window divided by `divisor`. */
export function handSum(x: Float64Array, out: Float64Array, n: number, divisor: number): void {
  const suffix = new Float64Array(n + 1);
  let prefix = 0;
  for (let i = 0, p = 0; i < out.length; i++) {
    if (p === 0) {
      let sum = 0;
      for (let j = n - 1; j >= 1; j--) {
        sum += x[i - n + j] ?? Number.NaN;
        suffix[j] = sum;
      }
      prefix = 0;
    }
    prefix += x[i]!;
    p++;
    out[i] = (suffix[p]! + prefix) / divisor;
    if (p === n) p = 0;
  }
}

/** Mean and bands of `k` deviations; `upper` and `lower` may be one column. */
export function handBands(
  x: Float64Array,
  outs: readonly Float64Array[],
  n: number,
  k: number,
): void {
  const [mid, upper, lower] = outs as [Float64Array, Float64Array, Float64Array];
  const suffix1 = new Float64Array(n + 1);
  const suffix2 = new Float64Array(n + 1);
  let shift = 0;
  let prefix1 = 0;
  let prefix2 = 0;
  for (let i = 0, p = 0; i < mid.length; i++) {
    if (p === 0) {
      shift = x[i]!;
      let sum1 = 0;
      let sum2 = 0;
      for (let j = n - 1; j >= 1; j--) {
        const d = (x[i - n + j] ?? Number.NaN) - shift;
        sum1 += d;
        sum2 += d * d;
        suffix1[j] = sum1;
        suffix2[j] = sum2;
      }
      prefix1 = 0;
      prefix2 = 0;
    }
    const d = x[i]! - shift;
    prefix1 += d;
    prefix2 += d * d;
    p++;
    const sum1 = suffix1[p]! + prefix1;
    const squares = Math.max(suffix2[p]! + prefix2 - (sum1 * sum1) / n, 0);
    const mean = shift + sum1 / n;
    const width = k * Math.sqrt(squares / n);
    mid[i] = mean;
    upper[i] = mean + width;
    lower[i] = mean - width;
    if (p === n) p = 0;
  }
}

/** Population deviation over a window. */
export function handStddev(x: Float64Array, out: Float64Array, n: number): void {
  const suffix1 = new Float64Array(n + 1);
  const suffix2 = new Float64Array(n + 1);
  let shift = 0;
  let prefix1 = 0;
  let prefix2 = 0;
  for (let i = 0, p = 0; i < out.length; i++) {
    if (p === 0) {
      shift = x[i]!;
      let sum1 = 0;
      let sum2 = 0;
      for (let j = n - 1; j >= 1; j--) {
        const d = (x[i - n + j] ?? Number.NaN) - shift;
        sum1 += d;
        sum2 += d * d;
        suffix1[j] = sum1;
        suffix2[j] = sum2;
      }
      prefix1 = 0;
      prefix2 = 0;
    }
    const d = x[i]! - shift;
    prefix1 += d;
    prefix2 += d * d;
    p++;
    const sum1 = suffix1[p]! + prefix1;
    out[i] = Math.sqrt(Math.max(suffix2[p]! + prefix2 - (sum1 * sum1) / n, 0) / n);
    if (p === n) p = 0;
  }
}

/** Highest (`sign` 1) or lowest (−1) over a window. */
export function handExtreme(x: Float64Array, out: Float64Array, n: number, sign: number): void {
  const suffix = new Float64Array(n + 1).fill(Number.NEGATIVE_INFINITY);
  let prefix = Number.NEGATIVE_INFINITY;
  for (let i = 0, p = 0; i < out.length; i++) {
    if (p === 0) {
      let best = Number.NEGATIVE_INFINITY;
      for (let j = n - 1; j >= 1; j--) {
        best = Math.max(best, sign * (x[i - n + j] ?? Number.NaN));
        suffix[j] = best;
      }
      prefix = Number.NEGATIVE_INFINITY;
    }
    prefix = Math.max(prefix, sign * x[i]!);
    p++;
    out[i] = sign * Math.max(suffix[p]!, prefix);
    if (p === n) p = 0;
  }
}

/** Exponential average seeded with the mean of the first `n` values. */
export function handEma(x: Float64Array, out: Float64Array, n: number): void {
  const alpha = 2 / (n + 1);
  let value = 0;
  let count = 0;
  for (let i = 0; i < out.length; i++) {
    const now = x[i]!;
    if (Number.isNaN(now)) {
      out[i] = Number.NaN;
    } else if (count === n) {
      value += (now - value) * alpha;
      out[i] = value;
    } else {
      value += now;
      count++;
      if (count === n) value /= n;
      out[i] = count === n ? value : Number.NaN;
    }
  }
}

/** Wilder's relative strength index. */
export function handRsi(x: Float64Array, out: Float64Array, n: number): void {
  let gain = 0;
  let loss = 0;
  let count = 0;
  let last = Number.NaN;
  for (let i = 0; i < out.length; i++) {
    const now = x[i]!;
    out[i] = Number.NaN;
    if (Number.isNaN(now)) continue;
    const change = now - last;
    last = now;
    if (Number.isNaN(change)) continue;
    const up = Math.max(change, 0);
    const down = Math.max(-change, 0);
    if (count === n) {
      gain = (gain * (n - 1) + up) / n;
      loss = (loss * (n - 1) + down) / n;
    } else {
      gain += up;
      loss += down;
      count++;
      if (count === n) {
        gain /= n;
        loss /= n;
      }
    }
    if (count === n) out[i] = gain + loss === 0 ? 0 : (100 * gain) / (gain + loss);
  }
}

/** Relative change over `n` rows. */
export function handRateOfChange(x: Float64Array, out: Float64Array, n: number): void {
  out.fill(Number.NaN, 0, n);
  for (let i = n; i < out.length; i++) {
    const before = x[i - n]!;
    out[i] = before === 0 ? x[i]! * 0 : (x[i]! - before) / before;
  }
}

/** Log return over `n` rows. */
export function handLogReturn(x: Float64Array, out: Float64Array, n: number): void {
  out.fill(Number.NaN, 0, n);
  for (let i = n; i < out.length; i++) {
    const before = x[i - n]!;
    const now = x[i]!;
    out[i] = before > 0 && now > 0 ? Math.log(now / before) : Number.NaN;
  }
}
