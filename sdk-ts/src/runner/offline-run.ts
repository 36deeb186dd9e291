import { blake3Hex, jcs } from "../canonical/index.ts";
import { computeMetrics, makeReturnSeries, type ReturnSeries } from "../metrics/index.ts";
import { executionOf } from "../nodesets/nodeset-execution.ts";
import type { Strategy } from "../strategy/index.ts";
import { type IdentifiedStrategy, identifyStrategy } from "./identify-strategy.ts";
import { type ComputedColumn, computeOffline, sourcesOf } from "./offline-compute.ts";
import { offlineFacts } from "./offline-facts.ts";
import { loadOfflineFeed, type OfflineFeed, rowsUntil } from "./offline-feed.ts";
import { findMarket, type OfflineMarket } from "./offline-market.ts";
import { writeOfflineReport } from "./offline-report.ts";
import type { HoldResult, OfflineResult } from "./offline-result.ts";
import { findOfflineTags } from "./offline-tags.ts";
import {
  type BarRange,
  type OfflineTrading,
  type TradeEvent,
  tradeOffline,
} from "./offline-trade.ts";
import {
  type CompiledOfflineOptions,
  compileOfflineOptions,
  type OfflineOptions,
} from "./runner-options.ts";
import type { StrategyClass } from "./strategy-module.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/**
 * Runs a strategy on files, with no server: declares and names its nodes, computes them over the rows of the
 * configuration's sources, trades its target through the order router and the simulated broker, and judges the result.
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
  try {
    await strategy.onStart();
    const { result, events } = await backtest(identified, compiled);
    await tell(strategy, events);
    if (compiled.report !== undefined) {
      await writeOfflineReport(compiled.report, result, compiled.now());
    }
    return result;
  } catch (error) {
    await strategy.onError(error instanceof Error ? error : new Error(String(error)));
    throw error;
  } finally {
    await strategy.onFinish();
  }
}

async function backtest(
  identified: IdentifiedStrategy,
  given: CompiledOfflineOptions,
): Promise<{ result: OfflineResult; events: readonly TradeEvent[] }> {
  const [firstTarget] = identified.targets;
  const execution = firstTarget === undefined ? undefined : executionOf(firstTarget.node);
  const options = {
    ...given,
    costs: given.costs ?? execution?.costs,
    noCosts: given.noCosts || execution?.noCosts === true,
    sameBarClose: given.sameBarClose || execution?.sameBarClose === true,
  };
  const market = findMarket(identified, options, execution?.initialCash);
  const tags = findOfflineTags(identified, options.config, options.onProblem);
  const tagged = tags.filed.map(({ source }) => source);
  const names = new Set([...sourcesOf(identified), ...tagged, market.markSource]);
  const feeds = new Map<string, OfflineFeed>();
  for (const name of names) {
    feeds.set(name, await loadOfflineFeed(options.config, name, options.untilMs));
  }
  const feed = feeds.get(market.markSource)!;
  const range = tradedRange(feed, options);
  const { nodeId } = market.target;
  const computed = computeOffline(identified, feeds, [nodeId], options.onProgress, tags);
  const target = computed.columns.get(market.target.nodeId)!;
  const trading = tradeOffline(market, target, feed, range, options);
  const returns = seriesOf(trading, feed);
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
    warmupRows: range.first,
    afterTarget: afterTarget(trading),
    returns,
    metrics,
    timesMs: trading.timesMs,
    equity: trading.equity,
    fills: trading.fills,
    orders: trading.orders,
    costs: { fees: trading.fees, spread: trading.spreadCosts },
    currency: market.currency,
    noCosts: options.noCosts,
    turnover: metrics.get("turnover") ?? 0,
    hold: holdOf(market, target, feed, range, options),
    facts: offlineFacts(feed, range, market, options),
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

function tradedRange(feed: OfflineFeed, options: CompiledOfflineOptions): BarRange {
  const { openTimeMs, rows } = feed.table;
  const first = Number.isFinite(options.fromMs) ? rowsUntil(openTimeMs, options.fromMs - 1) : 0;
  if (first < rows) return { first, end: rows };
  const message = `source "${feed.name}" has no bar between from and until`;
  throw new StrategyRunError("RANGE_EMPTY", message);
}

function seriesOf(trading: OfflineTrading, feed: OfflineFeed): ReturnSeries {
  const { timesMs, returns, turnover } = trading;
  return makeReturnSeries({
    intervalSeconds: feed.intervalMs / 1_000,
    periodsPerYear: feed.periodsPerYear,
    from: timesMs[Math.min(1, timesMs.length - 1)]!,
    to: timesMs.at(-1)!,
    source: "backtest",
    returns,
    turnover,
  });
}

function afterTarget(trading: OfflineTrading): OfflineResult["afterTarget"] {
  const { targetChanges, orders, fills, timesMs } = trading;
  return { targetChanges, orders: orders.length, fills: fills.length, bars: timesMs.length };
}

/** Buy-and-hold: a target of 1 on every bar. */
function holdOf(
  market: OfflineMarket,
  target: ComputedColumn,
  feed: OfflineFeed,
  range: BarRange,
  options: CompiledOfflineOptions,
): HoldResult {
  const endMs = feed.table.bucketEndMs;
  const always = {
    endMs,
    values: new Float64Array(endMs.length).fill(1),
    firstRow: target.firstRow,
  };
  const trading = tradeOffline(market, always, feed, range, options);
  const returns = seriesOf(trading, feed);
  const { equity, orders } = trading;
  return { returns, metrics: computeMetrics(returns), equity, orders: orders.length };
}

function fingerprintOf(feeds: readonly OfflineFeed[]): string {
  const [only, ...others] = feeds;
  if (only !== undefined && others.length === 0) return only.datasetFingerprint;
  const byName = Object.fromEntries(feeds.map((feed) => [feed.name, feed.datasetFingerprint]));
  return `blake3:${blake3Hex(jcs(byName))}`;
}
