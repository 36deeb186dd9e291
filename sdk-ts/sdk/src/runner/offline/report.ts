import { writeFile } from "node:fs/promises";
import { renderHtmlReport } from "../../report/html-report.ts";
import type { ReportData, ReportFigure } from "../../report/report-data.ts";
import type { OfflineResult } from "./result.ts";

/**
 * Writes the HTML report of an offline run.
 *
 * @param path file to write; an existing file is replaced
 * @param result the run
 * @param madeAtMs date of the report, milliseconds since the epoch
 */
export async function writeOfflineReport(
  path: string,
  result: OfflineResult,
  madeAtMs: number,
): Promise<void> {
  await writeFile(path, renderHtmlReport(reportOf(result, madeAtMs)));
}

/**
 * @param result an offline run
 * @param madeAtMs date of the report, milliseconds since the epoch
 * @returns its report as data, for `renderHtmlReport`
 */
export function reportOf(result: OfflineResult, madeAtMs: number): ReportData {
  const { strategyName, timesMs, equity, buyAndHold, fills, nodes, afterTarget, instruments } =
    result;
  const { gross, net, largestWeight } = result;
  const holdName = instruments.length > 1 ? "buy and hold, equal weights" : "buy and hold";
  const isHeld = buyAndHold.unbought.length === 0 || buyAndHold.metrics.size > 0;
  const place = { world: "offline", strategy: strategyName };
  const evaluations = [...result.evaluations.values()].reduce((sum, rows) => sum + rows, 0);
  return {
    title: `Backtest of ${strategyName}`,
    madeAtMs,
    noCosts: result.noCosts,
    currency: result.currency,
    strategies: [
      {
        name: strategyName,
        domain: "backtest",
        curve: { name: strategyName, timesMs, equity },
        ...(isHeld ? { hold: { name: holdName, timesMs, equity: buyAndHold.equity } } : {}),
        exposure: { timesMs, gross, net, largestWeight },
        figures: figuresOf(result),
      },
    ],
    fills: fills.map((fill) => ({
      timeMs: fill.eventTimeMs,
      ...place,
      instrument: fill.instrument,
      quantity: fill.side === "buy" ? fill.quantity : `-${fill.quantity}`,
      price: fill.price,
      fee: fill.fee,
      origin: "target",
    })),
    positions: instruments.map(
      ({ instrument, quantity, averageCost, mark, realisedPnl, unrealisedPnl }) => ({
        ...place,
        instrument,
        quantity,
        averageCost,
        mark,
        realisedPnl,
        unrealisedPnl,
      }),
    ),
    reuse: [],
    evaluations: [
      { name: "nodes", value: nodes.length, format: "count" },
      { name: "node evaluations", value: evaluations, format: "count" },
      { name: "target changes", value: afterTarget.targetChanges, format: "count" },
      { name: "warm-up rows", value: result.warmupRows, format: "count" },
    ],
    timeline: [],
    notes: result.notes,
  };
}

function figuresOf(result: OfflineResult): ReportFigure[] {
  const { metrics, orders, returns, buyAndHold } = result;
  const year = `annualised with ${Number(returns.periodsPerYear.toPrecision(6))} returns`;
  const percent = "percent" as const;
  return [
    { name: "Sharpe", value: metrics.get("sharpe"), note: year },
    { name: "Sharpe per bar", value: metrics.get("sharpe_per_bar"), note: "not annualised" },
    { name: "Sharpe of buy and hold", value: buyAndHold.metrics.get("sharpe"), note: year },
    { name: "CAGR", value: metrics.get("cagr"), format: percent, note: year },
    {
      name: "Total return",
      value: metrics.get("total_return"),
      format: percent,
      note: "after costs",
    },
    { name: "Volatility", value: metrics.get("volatility"), format: percent, note: year },
    { name: "Largest drawdown", value: metrics.get("max_drawdown_ratio"), format: percent },
    {
      name: "Win ratio",
      value: metrics.get("win_ratio"),
      format: percent,
      note: "of the returns that are not 0",
    },
    { name: "Profit factor", value: metrics.get("profit_factor"), note: "gains ÷ losses" },
    { name: "Orders", value: orders.length, format: "count" },
    { name: "Turnover", value: metrics.get("turnover"), note: "times per year" },
    ...financingOf(result),
  ];
}

/** What holding positions cost; nothing for an account that was charged nothing. */
function financingOf({ financing, currency }: OfflineResult): ReportFigure[] {
  const { interest, borrowFees, funding } = financing;
  const paid = `${currency} paid; below 0: received`;
  const ofDays = [
    { name: "Interest", value: interest, note: paid },
    { name: "Borrow fees", value: borrowFees, note: `${currency} paid` },
  ];
  return [
    ...(interest === 0 && borrowFees === 0 ? [] : ofDays),
    ...(funding === 0 ? [] : [{ name: "Funding", value: funding, note: paid }]),
  ];
}
