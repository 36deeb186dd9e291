import {
  loadStrategy,
  type OfflineResult,
  offlineSummary,
  type ResultInstrument,
  Runner,
} from "@qmtl/sdk";
import type { CommandSettings } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { progressBar } from "../progress-bar.ts";
import { RunProblems } from "./run-problems.ts";

export interface OfflineCommandOptions {
  export?: string;
  from?: string;
  until?: string;
  account?: string;
  noCosts?: boolean;
  report?: string;
}

/** `qmtl run FILE --offline`: a backtest on the files of the configuration, with no server. */
export async function runOffline(
  settings: CommandSettings,
  file: string,
  options: OfflineCommandOptions,
): Promise<void> {
  const strategy = await loadStrategy(file, options.export);
  const bar = progressBar("computing");
  const problems = new RunProblems({ asJson: settings.asJson });
  const result = await Runner.offline(strategy, {
    config: settings.config,
    noCosts: options.noCosts === true,
    onProgress: settings.asJson ? () => {} : bar.update,
    onProblem: (problem) => problems.report(problem),
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(options.until === undefined ? {} : { until: options.until }),
    ...(options.account === undefined ? {} : { accountId: options.account }),
    ...(options.report === undefined ? {} : { report: options.report }),
  }).finally(bar.end);
  if (settings.asJson) printJson(summaryOf(result));
  else printResult(result, options.report);
}

function summaryOf(result: OfflineResult): Record<string, unknown> {
  return {
    strategy: result.strategyName,
    nodes: result.nodes,
    metrics: Object.fromEntries(result.metrics),
    samples: result.returns.samples,
    orders: result.orders.length,
    fills: result.fills.length,
    instruments: result.instruments.map(instrumentOf),
    account: result.accountId ?? null,
    costs: result.costs,
    financing: {
      interest: result.financing.interest,
      borrow_fees: result.financing.borrowFees,
      funding: result.financing.funding,
    },
    turnover: result.turnover,
    dataset_fingerprint: result.datasetFingerprint,
    notes: result.notes,
    currency: result.currency,
    no_costs: result.noCosts,
    ruined_at_ms: result.ruin?.timeMs ?? null,
    ...seriesOf(result),
  };
}

/** Results over time, as `qmtl report` reads them: returns as the ratios take them, the rest at the end of every bar. */
function seriesOf(result: OfflineResult): Record<string, unknown> {
  const { returns, timesMs, equity, gross, net, largestWeight, fills } = result;
  return {
    interval_seconds: returns.intervalSeconds,
    periods_per_year: returns.periodsPerYear,
    returns: Array.from(returns.returns),
    return_times_ms: Array.from(returns.endsMs),
    times_ms: Array.from(timesMs),
    equity: Array.from(equity),
    gross: Array.from(gross),
    net: Array.from(net),
    largest_weight: Array.from(largestWeight),
    fill_list: fills.map(({ eventTimeMs, instrument, side, quantity, price, fee }) => {
      return { time_ms: eventTimeMs, instrument, side, quantity, price, fee };
    }),
  };
}

function instrumentOf(one: ResultInstrument): Record<string, unknown> {
  return {
    instrument: one.instrument,
    mark_source: one.markSource,
    bars: one.bars,
    orders: one.orders,
    fills: one.fills,
    quantity: one.quantity,
    average_cost: one.averageCost,
    mark: one.mark,
    realised_pnl: one.realisedPnl,
    unrealised_pnl: one.unrealisedPnl,
    costs: one.costs,
  };
}

function printResult(result: OfflineResult, report: string | undefined): void {
  for (const line of offlineSummary(result)) console.log(line);
  if (report !== undefined) console.log(`report: ${report}`);
}
