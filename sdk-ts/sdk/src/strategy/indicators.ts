import { catalogue } from "@qmtl/core/nodes";
import { BuiltinNode, type BuiltinOptions } from "./builtin-node.ts";
import { invalid } from "./declaration-error.ts";
import { checkFinite, checkRows } from "./fields.ts";
import type { StrategyNode } from "./strategy-node.ts";

type OverWindow = "sma" | "ema" | "rsi" | "min" | "max" | "sum";
type OverLag = "rate_of_change" | "price_change" | "log_return";

function overWindow(
  kind: OverWindow,
  node: StrategyNode,
  window: number,
  options?: BuiltinOptions,
) {
  const params = { window: checkRows(`${kind}.window`, window) };
  return new BuiltinNode(catalogue[kind], [node], params, params, options);
}

function overLag(kind: OverLag, node: StrategyNode, lag: number, options?: BuiltinOptions) {
  const params = { lag: checkRows(`${kind}.lag`, lag) };
  return new BuiltinNode(catalogue[kind], [node], params, params, options);
}

/**
 * One column of a node with several, for example `column(bars, "close")`; in its unit, NaN where it has no value.
 *
 * @throws {DeclarationError} for a column the node does not have, naming those it has.
 */
export function column(
  node: StrategyNode,
  name: string,
  options?: BuiltinOptions,
): BuiltinNode<{ readonly column: string }> {
  if (!node.outputs.includes(name)) {
    throw invalid("column.column", `"${name}" is not one of ${node.outputs.join(", ")}`);
  }
  const params = { column: name };
  return new BuiltinNode(catalogue.column, [node], params, params, options);
}

/**
 * Simple moving average (TA-Lib SMA): `(x[t−n+1] + … + x[t]) ÷ n`, in the unit of its input. The first value is on row
 * `window`; NaN while the window holds a NaN.
 *
 * @param node a node of one column
 * @param window rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function sma(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("sma", node, window, options);
}

/**
 * Exponential moving average (TA-Lib EMA), in the unit of its input: α = 2 ÷ (window + 1), seeded with the mean of the
 * first `window` values. The first value is on row `window`; a NaN gives NaN and is passed over.
 *
 * @param window rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function ema(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("ema", node, window, options);
}

/**
 * Relative strength index of Wilder (TA-Lib RSI), 0..100: `100 · gain ÷ (gain + loss)` over Wilder averages of rises and
 * falls; 0 where nothing moved. The first value is on row `window + 1`; a NaN gives NaN and is passed over.
 *
 * @param window rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function rsi(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("rsi", node, window, options);
}

/**
 * Lowest of the last `window` values, in their unit. The first value is on row `window`; NaN while the window holds one.
 *
 * @param window rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function min(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("min", node, window, options);
}

/**
 * Highest of the last `window` values, in their unit. The first value is on row `window`; NaN while the window holds one.
 *
 * @param window rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function max(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("max", node, window, options);
}

/**
 * Sum of the last `window` values, in their unit. The first value is on row `window`; NaN while the window holds one.
 *
 * @param window rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function sum(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("sum", node, window, options);
}

/**
 * Relative change over `lag` rows (TA-Lib ROCP): `x[t] ÷ x[t−lag] − 1`, 0.01 = 1 %; 0 where the earlier value is 0. The
 * first value is on row `lag + 1`.
 *
 * @param lag rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function rateOfChange(node: StrategyNode, lag: number, options?: BuiltinOptions) {
  return overLag("rate_of_change", node, lag, options);
}

/**
 * Change over `lag` rows (TA-Lib MOM): `x[t] − x[t−lag]`, in the unit of its input. The first value is on row `lag + 1`.
 *
 * @param lag rows, 1..10000
 * @throws {DeclarationError} naming the field.
 */
export function priceChange(node: StrategyNode, lag: number, options?: BuiltinOptions) {
  return overLag("price_change", node, lag, options);
}

/** Simple return from row to row, 0.01 = 1 %: {@link rateOfChange} with lag 1. The first value is on row 2. */
export function returns(node: StrategyNode, options?: BuiltinOptions) {
  return overLag("rate_of_change", node, 1, options);
}

/**
 * Log return over `lag` rows: `ln(x[t] ÷ x[t−lag])`. NaN unless both values are above 0; the first is on row `lag + 1`.
 *
 * @param lag rows, 1..10000. @default 1
 * @throws {DeclarationError} naming the field.
 */
export function logReturns(node: StrategyNode, lag = 1, options?: BuiltinOptions) {
  return overLag("log_return", node, lag, options);
}

/**
 * Standard deviation of the last `window` values, in their unit (TA-Lib STDDEV): `√(Σ(x − mean)² ÷ (window − ddof))`. The
 * first value is on row `window`; NaN while the window holds one.
 *
 * @param window rows, 2..10000
 * @param options `ddof` 0 = population, 1 = sample. @default 0
 * @throws {DeclarationError} naming the field.
 */
export function stddev(
  node: StrategyNode,
  window: number,
  options: BuiltinOptions & { readonly ddof?: 0 | 1 } = {},
) {
  const { ddof = 0, ...rest } = options;
  if (ddof !== 0 && ddof !== 1) throw invalid("stddev.ddof", "must be 0 or 1");
  const params = { window: checkRows("stddev.window", window, 2), ddof };
  return new BuiltinNode(catalogue.stddev, [node], params, params, rest);
}

/**
 * Volatility of a series of returns: its population deviation over `window` rows, a bar, not annualised (times √bars a
 * year makes it so). The first value is on the `window`-th return.
 *
 * @param node returns, as of {@link returns}; a price gives the deviation of the price
 * @param window rows, 2..10000
 * @throws {DeclarationError} naming the field.
 */
export function volatility(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return stddev(node, window, options);
}

/**
 * Bollinger bands (TA-Lib BBANDS), in the unit of their input; columns `mid` (mean), `upper` and `lower` (mean ±
 * `multiplier` · population deviation), picked with {@link column}. The first values are on row `window`; NaN while the
 * window holds one.
 *
 * @param window rows, 2..10000
 * @param options `multiplier` of the deviation. @default 2
 * @throws {DeclarationError} naming the field.
 */
export function bollinger(
  node: StrategyNode,
  window: number,
  options: BuiltinOptions & { readonly multiplier?: number } = {},
) {
  const { multiplier = 2, ...rest } = options;
  const params = {
    window: checkRows("bollinger.window", window, 2),
    multiplier: checkFinite("bollinger.multiplier", multiplier),
  };
  return new BuiltinNode(catalogue.bollinger, [node], params, params, rest);
}

/**
 * Average true range of Wilder (TA-Lib ATR), in the unit of the prices: of `max(high − low, |high − close before|,
 * |low − close before|)`. The first value is on row `window + 1`; a bar with a NaN gives NaN and is passed over.
 *
 * @param bars a node with columns `high`, `low`, `close`
 * @param window rows, 1..10000
 * @throws {DeclarationError} for a window out of range or a column that is not there.
 */
export function atr(bars: StrategyNode, window: number, options?: BuiltinOptions) {
  const params = { window: checkRows("atr.window", window) };
  const inputs = ["high", "low", "close"].map((name) => column(bars, name));
  return new BuiltinNode(catalogue.atr, inputs, params, params, options);
}
