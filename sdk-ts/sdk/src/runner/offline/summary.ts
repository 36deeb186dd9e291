import { intervalText } from "@qmtl/core/dataflow";
import { listMetrics, type MetricValues, type ReturnSeries } from "@qmtl/core/metrics";
import { counted } from "./notes.ts";
import type { BuyAndHoldResult, OfflineResult, ResultInstrument } from "./result.ts";

/** Metrics not shown: the first line states the number of returns, and a backtest has no shortfall against itself. */
const NOT_SHOWN: ReadonlySet<string> = new Set(["samples", "sharpe_shortfall"]);

/** Metrics of buy and hold that are shown beside those of the strategy. */
const COMPARED: readonly string[] = ["sharpe", "cagr", "total_return", "max_drawdown_ratio"];

/**
 * Summary of an offline run as lines of text for a terminal: every metric with its unit, or why it has no value; buy
 * and hold over the same bars; equity and costs; each instrument if there are several; the notes.
 *
 * @param result the run
 * @returns the lines, without line breaks
 */
export function offlineSummary(result: OfflineResult): readonly string[] {
  const { strategyName, returns, orders, metrics, buyAndHold, instruments, notes } = result;
  const held = COMPARED.flatMap((name) => {
    const value = buyAndHold.metrics.get(name);
    return value === undefined ? [] : [`${name} ${shown(value)}`];
  });
  return [
    `${strategyName}: ${counted(returns.samples, "return")}, ${counted(orders.length, "order")}`,
    ...metricLines(metrics, returns),
    line("buy and hold", held.length === 0 ? whyNotHeld(buyAndHold) : held.join(", ")),
    ...(result.accountId === undefined ? [] : [line("account", result.accountId)]),
    line("equity", equityText(result)),
    ...financingLines(result),
    line("exposure", exposureText(result)),
    ...(instruments.length > 1 ? instruments.map((one) => `  ${instrumentText(one)}`) : []),
    ...notes.map((note) => `  note: ${note}`),
  ];
}

function line(name: string, text: string): string {
  return `  ${name.padEnd(28)} ${text}`;
}

function shown(value: number): string {
  return value.toPrecision(6);
}

function metricLines(metrics: MetricValues, returns: ReturnSeries): string[] {
  const listed = listMetrics().filter(({ name }) => !NOT_SHOWN.has(name));
  return listed.map((metric) => {
    const value = metrics.get(metric.name);
    if (value === undefined) return line(metric.name, whyNone(metric.name, returns));
    const meaning = meaningOf(metric.name, value, returns) ?? metric.description;
    return line(metric.name, `${shown(value).padEnd(11)} ${meaning}`);
  });
}

/** What the value of a metric means, with its unit; undefined where the metric's description is enough. */
function meaningOf(name: string, value: number, returns: ReturnSeries): string | undefined {
  const year = `a year of ${counted(Number(returns.periodsPerYear.toPrecision(6)), "bar")}`;
  const percent = `${(value * 100).toFixed(2)} %`;
  switch (name) {
    case "sharpe":
      return `${year}, zero rate`;
    case "sharpe_per_bar":
      return `per bar of ${intervalText(returns.intervalSeconds * 1_000)}, not annualised`;
    case "volatility":
      return `${percent} in ${year}`;
    case "cagr":
      return `${percent} in ${year}`;
    case "total_return":
      return `${percent} in all`;
    case "max_drawdown_ratio":
      return `${percent} below the highest equity before it`;
    case "win_ratio":
      return `${percent} of the returns that are not 0`;
    case "profit_factor":
      return "sum of returns above 0 ÷ sum of returns below 0";
    case "turnover":
      return `times the equity in ${year}`;
    default:
      return undefined;
  }
}

function whyNotHeld({ unbought }: BuyAndHoldResult): string {
  if (unbought.length === 0) return "no figures";
  return `none: ${unbought.map(({ instrument, why }) => `${instrument} could not be bought: ${why}`).join("; ")}`;
}

function whyNone(name: string, { samples, returns, isRuined }: ReturnSeries): string {
  const isFlat = returns.every((value) => value === 0);
  if (isRuined) return "none: nothing was left at the end, and the returns before it tell nothing";
  if (samples === 0) return "none: there is no return, the first one takes two bars";
  if (isFlat) return "none: no return differs from 0";
  if (name === "profit_factor") return "none: no return is below 0";
  if (samples === 1) return "none: a single return has no deviation";
  return name.startsWith("sharpe")
    ? "none: all returns are equal"
    : "none: beyond the range of numbers";
}

function equityText({ equity, currency, costs, noCosts, ruin }: OfflineResult): string {
  const left = ruin === undefined ? "" : `, ruined at ${money(ruin.equity)}`;
  const range = `${money(equity[0])} → ${money(equity.at(-1))} ${currency}${left}`;
  if (noCosts) return `${range}; costs were left out`;
  return `${range}; paid ${money(costs.fees)} of fees, ${money(costs.spread)} of spread`;
}

/** What holding positions cost; nothing for an account that was charged nothing. */
function financingLines({ financing, currency }: OfflineResult): string[] {
  const { interest, borrowFees, funding } = financing;
  const paid = (cost: number): string =>
    `${cost < 0 ? "received" : "paid"} ${money(Math.abs(cost))}`;
  const ofDays = `${paid(interest)} ${currency} of interest, ${paid(borrowFees)} of borrow fees`;
  return [
    ...(interest === 0 && borrowFees === 0 ? [] : [line("financing", ofDays)]),
    ...(funding === 0 ? [] : [line("funding", `${paid(funding)} ${currency}`)]),
  ];
}

function exposureText({ gross, net, largestWeight }: OfflineResult): string {
  const range = (values: Float64Array): string => {
    let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const value of values) {
      if (value < least) least = value;
      if (value > most) most = value;
    }
    return `${least.toFixed(4)} to ${most.toFixed(4)}`;
  };
  return `gross ${range(gross)}, net ${range(net)}, largest weight ${range(largestWeight)} of the equity`;
}

function money(value: number | undefined): string {
  return (value ?? Number.NaN).toFixed(2);
}

function instrumentText(one: ResultInstrument): string {
  const { instrument, orders, quantity, mark, realisedPnl, unrealisedPnl, costs } = one;
  const figures = `realised ${money(realisedPnl)}, unrealised ${money(unrealisedPnl)}, fees ${money(costs.fees)}`;
  return `${instrument.padEnd(28)} ${counted(orders, "order")}, holds ${quantity} at ${mark}; ${figures}`;
}
