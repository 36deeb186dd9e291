import { catalogue } from "@qmtl/core/nodes";
import { BuiltinNode, type BuiltinOptions } from "./builtin-node.ts";
import { column } from "./column.ts";
import { invalid } from "./declaration-error.ts";
import { checkFinite, checkRows } from "./fields.ts";
import {
  checkThresholds,
  type PositionThresholds,
  thresholdParams,
} from "./position-thresholds.ts";
import type { OneColumn, StrategyNode } from "./strategy-node.ts";

type OverWindow = "sma" | "ema" | "rsi" | "min" | "max" | "sum";
type OverLag = "lag" | "rate_of_change" | "price_change" | "log_return";

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
 * Simple moving average (TA-Lib SMA): `(x[t−n+1] + … + x[t]) ÷ n`.
 *
 * @param node series of one column
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `window`, and it is NaN while the
 * window holds a NaN
 * @throws {DeclarationError} naming the field.
 */
export function sma<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return overWindow("sma", node, window, options);
}

/**
 * Exponential moving average (TA-Lib EMA): `e[t] = e[t−1] + α · (x[t] − e[t−1])`, α = 2 ÷ (window + 1), seeded with the
 * mean of the first `window` values.
 *
 * @param node series of one column
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `window`. A NaN input gives NaN and
 * does not change the average
 * @throws {DeclarationError} naming the field.
 */
export function ema<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return overWindow("ema", node, window, options);
}

/**
 * Relative strength index of Wilder (TA-Lib RSI): `100 · gain ÷ (gain + loss)` over Wilder averages of rises and falls.
 *
 * @param node series of one column
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column, 0..100; 0 where nothing moved. Its first value is on row `window + 1`. A NaN input
 * gives NaN and does not change the averages
 * @throws {DeclarationError} naming the field.
 */
export function rsi<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return overWindow("rsi", node, window, options);
}

/**
 * Lowest of the last `window` values.
 *
 * @param node series of one column
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `window`, and it is NaN while the
 * window holds a NaN
 * @throws {DeclarationError} naming the field.
 */
export function min<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return overWindow("min", node, window, options);
}

/**
 * Highest of the last `window` values.
 *
 * @param node series of one column
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `window`, and it is NaN while the
 * window holds a NaN
 * @throws {DeclarationError} naming the field.
 */
export function max<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return overWindow("max", node, window, options);
}

/**
 * Sum of the last `window` values.
 *
 * @param node series of one column
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `window`, and it is NaN while the
 * window holds a NaN
 * @throws {DeclarationError} naming the field.
 */
export function sum<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return overWindow("sum", node, window, options);
}

/**
 * The value of earlier rows: `x[t−rows]`.
 *
 * @param node series of one column
 * @param rows rows between that value and the present one, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `rows + 1`, and it is NaN where that
 * earlier row is
 * @throws {DeclarationError} naming the field.
 */
export function lag<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  rows: number,
  options?: BuiltinOptions,
) {
  return overLag("lag", node, checkRows("lag.rows", rows), options);
}

/**
 * Where a series changes, as in `rebalance: { every: changed(side) }`.
 *
 * @param node series of one column
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column: 1 where the value differs from the one before it, else 0. The first value counts as a
 * change. A NaN input gives NaN, and the next value is compared with the last one
 * @throws {DeclarationError} naming the field.
 */
export function changed<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  options?: BuiltinOptions,
) {
  return new BuiltinNode(catalogue.changed, [node], {}, {}, options);
}

/**
 * Side of a signal with hysteresis: what `PositionTargetNode` does, as a node, for example for two legs of one decision.
 *
 * @param signal series of one column
 * @param thresholds where it goes long, short and flat; those of `PositionTargetNode`
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column: 1 long, −1 short, 0 flat, from the first row on. A NaN signal keeps the side
 * @throws {DeclarationError} naming the field.
 */
export function hysteresis<Node extends StrategyNode>(
  signal: Node & OneColumn<Node>,
  thresholds: PositionThresholds,
  options?: BuiltinOptions,
) {
  const bounds = checkThresholds("hysteresis.thresholds", thresholds);
  return new BuiltinNode(catalogue.hysteresis, [signal], bounds, thresholdParams(bounds), options);
}

/**
 * Relative change over `lag` rows (TA-Lib ROCP): `x[t] ÷ x[t−lag] − 1`.
 *
 * @param node series of one column
 * @param lag rows between the two values, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column, 0.01 = 1 %; 0 where the earlier value is 0. Its first value is on row `lag + 1`
 * @throws {DeclarationError} naming the field.
 */
export function rateOfChange<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  lag: number,
  options?: BuiltinOptions,
) {
  return overLag("rate_of_change", node, lag, options);
}

/**
 * Change over `lag` rows (TA-Lib MOM): `x[t] − x[t−lag]`.
 *
 * @param node series of one column
 * @param lag rows between the two values, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on row `lag + 1`
 * @throws {DeclarationError} naming the field.
 */
export function priceChange<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  lag: number,
  options?: BuiltinOptions,
) {
  return overLag("price_change", node, lag, options);
}

/**
 * Simple return from row to row: {@link rateOfChange} with lag 1.
 *
 * @param node series of one column, such as a price
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column, 0.01 = 1 %; its first value is on row 2
 * @throws {DeclarationError} naming the field.
 */
export function returns<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  options?: BuiltinOptions,
) {
  return overLag("rate_of_change", node, 1, options);
}

/**
 * Log return over `lag` rows: `ln(x[t] ÷ x[t−lag])`.
 *
 * @param node series of one column
 * @param lag rows between the two values, 1..10000. @default 1
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column, 0.01 ≈ 1 %; its first value is on row `lag + 1`, and it is NaN unless both values are
 * above 0
 * @throws {DeclarationError} naming the field.
 */
export function logReturns<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  lag = 1,
  options?: BuiltinOptions,
) {
  return overLag("log_return", node, lag, options);
}

/**
 * Standard deviation of the last `window` values (TA-Lib STDDEV): `√(Σ(x − mean)² ÷ (window − ddof))`.
 *
 * @param node series of one column
 * @param window rows in the window, 2..10000
 * @param options `ddof`: 0 = population, 1 = sample. @default 0
 * @returns a node of one column in the unit of its input; its first value is on row `window`, and it is NaN while the
 * window holds a NaN
 * @throws {DeclarationError} naming the field.
 */
export function stddev<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options: BuiltinOptions & { readonly ddof?: 0 | 1 } = {},
) {
  const { ddof = 0, ...rest } = options;
  if (ddof !== 0 && ddof !== 1) throw invalid("stddev.ddof", "must be 0 or 1");
  const params = { window: checkRows("stddev.window", window, 2), ddof };
  return new BuiltinNode(catalogue.stddev, [node], params, params, rest);
}

/**
 * Volatility of a series of returns: its sample standard deviation `√(Σ(x − mean)² ÷ (window − 1))` over `window` rows,
 * per bar and not annualised. Multiply by √(bars per year) to annualise it, as the metric `volatility` is. It is
 * {@link stddev} with `ddof` 1.
 *
 * @param node returns, such as those of {@link returns}; a price gives the standard deviation of the price
 * @param window rows in the window, 2..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of its input; its first value is on the `window`-th return
 * @throws {DeclarationError} naming the field.
 */
export function volatility<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
  window: number,
  options?: BuiltinOptions,
) {
  return stddev(node, window, { ...options, ddof: 1 });
}

/**
 * Bollinger bands (TA-Lib BBANDS): the mean of the window, and the mean ± `multiplier` · population standard deviation.
 *
 * @param node series of one column
 * @param window rows in the window, 2..10000
 * @param options `multiplier` of the standard deviation. @default 2
 * @returns a node of three columns `mid`, `upper` and `lower` in the unit of its input, picked with {@link column};
 * their first values are on row `window`, and they are NaN while the window holds a NaN
 * @throws {DeclarationError} naming the field.
 */
export function bollinger<Node extends StrategyNode>(
  node: Node & OneColumn<Node>,
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
 * Average true range of Wilder (TA-Lib ATR): the Wilder average of `max(high − low, |high − previous close|,
 * |low − previous close|)`.
 *
 * @param bars a node with columns `high`, `low` and `close`
 * @param window rows in the window, 1..10000
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of one column in the unit of the prices; its first value is on row `window + 1`. A bar with a NaN gives
 * NaN and does not change the average
 * @throws {DeclarationError} for a window out of range or a column that does not exist.
 */
export function atr(bars: StrategyNode, window: number, options?: BuiltinOptions) {
  const params = { window: checkRows("atr.window", window) };
  const inputs = ["high", "low", "close"].map((name) => column(bars, name));
  return new BuiltinNode(catalogue.atr, inputs, params, params, options);
}
