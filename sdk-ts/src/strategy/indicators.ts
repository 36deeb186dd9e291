import { catalogue } from "../nodes/catalogue.ts";
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

/** One column of a node with several, for example `column(bars, "close")`. */
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

/** Simple moving average of the last `window` values (TA-Lib SMA). */
export function sma(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("sma", node, window, options);
}

/** Exponential moving average, seeded with the mean of the first `window` values (TA-Lib EMA). */
export function ema(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("ema", node, window, options);
}

/** Relative strength index of Wilder, 0..100 (TA-Lib RSI). */
export function rsi(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("rsi", node, window, options);
}

/** Lowest of the last `window` values. */
export function min(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("min", node, window, options);
}

/** Highest of the last `window` values. */
export function max(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("max", node, window, options);
}

/** Sum of the last `window` values. */
export function sum(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return overWindow("sum", node, window, options);
}

/** Relative change over `lag` rows (TA-Lib ROCP). */
export function rateOfChange(node: StrategyNode, lag: number, options?: BuiltinOptions) {
  return overLag("rate_of_change", node, lag, options);
}

/** Change over `lag` rows (TA-Lib MOM). */
export function priceChange(node: StrategyNode, lag: number, options?: BuiltinOptions) {
  return overLag("price_change", node, lag, options);
}

/** Simple return from row to row: {@link rateOfChange} with lag 1. */
export function returns(node: StrategyNode, options?: BuiltinOptions) {
  return overLag("rate_of_change", node, 1, options);
}

/** Log return over `lag` rows, 1 by default. */
export function logReturns(node: StrategyNode, lag = 1, options?: BuiltinOptions) {
  return overLag("log_return", node, lag, options);
}

/** Standard deviation of the last `window` values; `ddof` 0 = population (default), 1 = sample. */
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

/** Volatility of a series of returns: its population deviation over `window` rows, not annualised. */
export function volatility(node: StrategyNode, window: number, options?: BuiltinOptions) {
  return stddev(node, window, options);
}

/** Bollinger bands with columns `mid`, `upper`, `lower`; pick one with {@link column}. */
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

/** Average true range of Wilder over columns `high`, `low`, `close` of a node (TA-Lib ATR). */
export function atr(bars: StrategyNode, window: number, options?: BuiltinOptions) {
  const params = { window: checkRows("atr.window", window) };
  const inputs = ["high", "low", "close"].map((name) => column(bars, name));
  return new BuiltinNode(catalogue.atr, inputs, params, params, options);
}
