import { blake3Hex, jcs } from "../canonical/index.ts";
import { computeMetrics, makeReturnSeries, type ReturnSeries } from "../metrics/index.ts";
import type { Strategy } from "../strategy/index.ts";
import { type IdentifiedStrategy, identifyStrategy } from "./identify-strategy.ts";
import { computeOffline, sourcesOf } from "./offline-compute.ts";
import { offlineFacts } from "./offline-facts.ts";
import { loadOfflineFeed, type OfflineFeed, rowsUntil } from "./offline-feed.ts";
import { resultInstruments } from "./offline-instruments.ts";
import type { TradedRows } from "./offline-lane.ts";
import { findMarket, type OfflineMarket } from "./offline-market.ts";
import { writeOfflineReport } from "./offline-report.ts";
import type { HoldResult, OfflineResult } from "./offline-result.ts";
import { findOfflineTags } from "./offline-tags.ts";
import { type OfflineTrading, type TradeEvent, tradeOffline } from "./offline-trade.ts";
import {
  type CompiledOfflineOptions,
  compileOfflineOptions,
  type OfflineOptions,
} from "./runner-options.ts";
import type { StrategyClass } from "./strategy-module.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/**
 * Runs a strategy on files, with no server: declares and names its nodes, computes them over the rows of the
 * configuration's sources, trades its targets through the order router and the simulated broker, and judges the result.
 *
 * Each target is a fraction of the whole capital in its own instrument; the instruments share one account and may have
 * bars of their own. See {@link tradeOffline} for what happens in which order.
 *
 * The strategy's callbacks are called in the order things happened: `onStart`, `onFill` and `onSignal` by bar,
 * `onFinish`; `onError` when one of them or a node throws.
 *
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ConfigError | ComputeError}
 */
export async function runOffline(
  given: StrategyClass | Strategy,
  options: OfflineOptions = {},
): Promise<OfflineResult> {
  const compiled = compileOfflineOptions(options);
  const identified = identifyStrategy(given, compiled);
  const { strategy } = identified;
  let result: OfflineResult;
  try {
    await strategy.onStart();
    const { result: traded, events } = await backtest(identified, compiled);
    result = traded;
    await tell(strategy, events);
    if (compiled.report !== undefined) {
      await writeOfflineReport(compiled.report, result, compiled.now());
    }
  } catch (error) {
    const given = error instanceof Error ? error : new Error(String(error));
    // What these throw must not take the place of what went wrong first.
    await Promise.resolve()
      .then(() => strategy.onError(given))
      .catch((failure: unknown) => compiled.onProblem(`onError failed: ${String(failure)}`));
    await Promise.resolve()
      .then(() => strategy.onFinish())
      .catch((failure: unknown) => compiled.onProblem(`onFinish failed: ${String(failure)}`));
    throw error;
  }
  await strategy.onFinish();
  return result;
}

async function backtest(
  identified: IdentifiedStrategy,
  options: CompiledOfflineOptions,
): Promise<{ result: OfflineResult; events: readonly TradeEvent[] }> {
  const market = findMarket(identified, options);
  const tags = findOfflineTags(identified, options.config, options.onProblem);
  const tagged = tags.filed.map(({ source }) => source);
  const marked = market.instruments.map(({ markSource }) => markSource);
  const traded = new Set([...marked, market.returnsSource]);
  const feeds = new Map<string, OfflineFeed>();
  for (const name of new Set([...sourcesOf(identified), ...tagged, ...traded])) {
    feeds.set(name, await loadOfflineFeed(options.config, name, options.untilMs));
  }
  const rows = new Map<string, TradedRows>();
  for (const name of traded) rows.set(name, tradedRows(feeds.get(name)!, options));
  const wanted = market.instruments.map(({ target }) => target.nodeId);
  const computed = computeOffline(identified, feeds, wanted, options.onProgress, tags);
  const targets = wanted.map((id) => computed.columns.get(id)!);
  const trading = tradeOffline(market, targets, rows);
  const clock = rows.get(market.returnsSource)!;
  const returns = seriesOf(trading, clock.feed);
  const metrics = computeMetrics(returns);
  const result: OfflineResult = {
    strategyName: identified.strategy.name,
    nodes: identified.graph.nodes.map(({ id, declared }) => ({
      id,
      name: declared.name,
      type: declared.node.nodeType,
    })),
    graph: identified.graph,
    evaluations: computed.evaluations,
    instruments: resultInstruments(market, trading, rows),
    warmupRows: clock.first,
    afterTarget: afterTarget(trading),
    returns,
    returnTimesMs: trading.returnTimesMs,
    metrics,
    timesMs: trading.timesMs,
    equity: trading.equity,
    fills: trading.fills,
    orders: trading.orders,
    costs: { fees: trading.fees, spread: trading.spreadCosts },
    currency: market.currency,
    noCosts: market.instruments.some((one) => one.traded.noCosts === true),
    turnover: metrics.get("turnover") ?? 0,
    hold: holdOf(market, rows),
    facts: offlineFacts(market, rows),
    datasetFingerprint: fingerprintOf([...feeds.values()]),
  };
  return { result, events: trading.events };
}

async function tell(strategy: Strategy, events: readonly TradeEvent[]): Promise<void> {
  for (const event of events) {
    const answer =
      event.kind === "fill" ? strategy.onFill(event.fill) : strategy.onSignal(event.signal);
    if (answer !== undefined) await answer;
  }
}

function tradedRows(feed: OfflineFeed, options: CompiledOfflineOptions): TradedRows {
  const { openTimeMs, rows } = feed.table;
  const first = Number.isFinite(options.fromMs) ? rowsUntil(openTimeMs, options.fromMs - 1) : 0;
  if (first < rows) return { feed, first, end: rows };
  const message = `source "${feed.name}" has no bar between from and until`;
  throw new StrategyRunError("RANGE_EMPTY", message);
}

function seriesOf(trading: OfflineTrading, feed: OfflineFeed): ReturnSeries {
  const { timesMs, returnTimesMs, returns, turnover } = trading;
  return makeReturnSeries({
    intervalSeconds: feed.intervalMs / 1_000,
    periodsPerYear: feed.periodsPerYear,
    from: returnTimesMs[0] ?? timesMs[0]!,
    to: returnTimesMs.at(-1) ?? timesMs[0]!,
    source: "backtest",
    returns,
    turnover,
  });
}

function afterTarget(trading: OfflineTrading): OfflineResult["afterTarget"] {
  const { targetChanges, orders, fills, timesMs } = trading;
  return { targetChanges, orders: orders.length, fills: fills.length, bars: timesMs.length };
}

/** Buy-and-hold: each instrument is bought once, at equal weights. */
function holdOf(market: OfflineMarket, rows: ReadonlyMap<string, TradedRows>): HoldResult {
  const weight = 1 / market.instruments.length;
  const always = {
    endMs: Float64Array.of(Number.NEGATIVE_INFINITY),
    values: Float64Array.of(weight),
    firstRow: 0,
  };
  const targets = market.instruments.map(() => always);
  const trading = tradeOffline(market, targets, rows);
  const returns = seriesOf(trading, rows.get(market.returnsSource)!.feed);
  const { equity, orders } = trading;
  return { returns, metrics: computeMetrics(returns), equity, orders: orders.length };
}

function fingerprintOf(feeds: readonly OfflineFeed[]): string {
  const [only, ...others] = feeds;
  if (only !== undefined && others.length === 0) return only.datasetFingerprint;
  const byName = Object.fromEntries(feeds.map((feed) => [feed.name, feed.datasetFingerprint]));
  return `blake3:${blake3Hex(jcs(byName))}`;
}
