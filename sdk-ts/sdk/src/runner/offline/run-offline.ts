import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { ComputeError } from "@qmtl/core/dataflow";
import { quantityFromLots } from "@qmtl/core/execution";
import {
  computeMetrics,
  type MarkedReturns,
  makeReturnSeries,
  returnsClock,
} from "@qmtl/core/metrics";
import type { IdentifiedNode } from "../../strategy/graphs.ts";
import type { Strategy } from "../../strategy/index.ts";
import { withFlatEnd } from "../signals/ended-signal.ts";
import { loadSourceRows, rowsUntil, type SourceRows } from "../source-files/source-rows.ts";
import {
  type IdentifiedStrategy,
  identifyStrategy,
} from "../strategy-loading/identify-strategy.ts";
import type { StrategyClass } from "../strategy-loading/strategy-module.ts";
import { lineIn, StrategyRunError } from "../strategy-loading/strategy-run-error.ts";
import type { TradedRows } from "./bar-replay.ts";
import { buyAndHoldOf, unboughtNotes } from "./buy-and-hold.ts";
import { type ComputedColumn, computeOffline, sourcesOf } from "./compute.ts";
import { fillNotes } from "./fill-notes.ts";
import { fundingNotes } from "./funding-notes.ts";
import { fundingRowsOf } from "./funding-replay.ts";
import { findMarket, type MarketInstrument, type OfflineMarket } from "./market.ts";
import {
  endedNotes,
  growthNote,
  heldNotes,
  type JudgedTarget,
  offlineNotes,
  ruinNote,
  signalNote,
  sourceNotes,
  strayNote,
} from "./notes.ts";
import {
  type CompiledOfflineOptions,
  compileOfflineOptions,
  type OfflineOptions,
} from "./offline-options.ts";
import { marginNotes, refusalNotes } from "./refusal-notes.ts";
import { writeOfflineReport } from "./report.ts";
import type { OfflineResult, ResultInstrument, ResultNode } from "./result.ts";
import { firstValueWait, staleNotes } from "./stale-notes.ts";
import { findOfflineTags } from "./tags.ts";
import { type OfflineTrading, type TradeEvent, tradeOffline } from "./trade.ts";

/**
 * Runs a strategy on files, with no server: declares its nodes and computes their ids, computes the nodes over the rows
 * of the configuration's sources, trades its targets through the order router and the simulated broker, and judges the
 * result.
 *
 * Each target is a fraction of the whole capital in its own instrument; the instruments share one account and may have
 * bars of their own. See {@link tradeOffline} for what happens in which order.
 *
 * `onStart` is called before any row is read; `onFill` and `onSignal` after everything is computed and traded, in the
 * order of the events; `onFinish` last. If one of the first three or a node throws, `onError` is called before
 * `onFinish`.
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
    const { result: traded, events } = await backtest(identified, compiled).catch((error) => {
      throw placedFailure(error, identified.module);
    });
    result = traded;
    await callBack(strategy, events);
    if (compiled.report !== undefined) {
      await writeOfflineReport(compiled.report, result, compiled.now());
    }
  } catch (error) {
    const given = error instanceof Error ? error : new Error(String(error));
    // What the callbacks throw must not replace the original error.
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

/** A failure of a compute function, with the line of the strategy's file from which it came. */
function placedFailure(error: unknown, module: string | undefined): unknown {
  if (!(error instanceof ComputeError) || module === undefined) return error;
  const line = lineIn(module, error.cause);
  return line === undefined ? error : new ComputeError(error.place, error.cause, line);
}

async function backtest(
  identified: IdentifiedStrategy,
  options: CompiledOfflineOptions,
): Promise<{ result: OfflineResult; events: readonly TradeEvent[] }> {
  const market = findMarket(identified, options);
  const tags = findOfflineTags(identified, options.config, options.onProblem);
  const tagged = tags.filed.map(({ source }) => source);
  const traded = new Set(market.instruments.map(({ markSource }) => markSource));
  const funded = market.instruments.flatMap(({ funding }) => funding?.source ?? []);
  const read = [...sourcesOf(identified), ...tagged, ...traded, ...funded];
  const feeds = await loadFeeds(read, options);
  const rows = new Map([...traded].map((name) => [name, tradedRows(feeds.get(name)!, options)]));
  const listed = listedMarket(market, rows, options);
  const wanted = new Set(
    market.instruments.flatMap(({ target }) => [target.nodeId, target.signalId]),
  );
  const computed = computeOffline(identified, feeds, [...wanted], options.onProgress, tags);
  const targets = targetColumns(identified, market, computed.columns, feeds);
  const funding = fundingRowsOf(listed.instruments, feeds);
  const trading = tradeOffline(market, targets, rows, funding);
  const markReturns = markReturnsOf(trading, rows);
  const returns = makeReturnSeries(markReturns);
  const metrics = computeMetrics(returns);
  const instruments = resultInstruments(market, trading, rows);
  const judged = judgedTargets(market, instruments, trading, computed.columns, rows);
  const buyAndHold = buyAndHoldOf(listed, rows, funding, (of) => markReturnsOf(of, rows));
  const result: OfflineResult = {
    strategyName: identified.strategy.name,
    nodes: identified.graph.nodes.map(nodeOf),
    graph: identified.graph,
    evaluations: computed.evaluations,
    instruments,
    warmupRows: Math.max(...instruments.map(({ warmupRows }) => warmupRows)),
    afterTarget: afterTarget(trading),
    returns,
    markReturns,
    metrics,
    timesMs: trading.timesMs,
    equity: trading.equity,
    ...trading.exposure,
    ruin: trading.ruin,
    fills: trading.fills,
    orders: trading.orders,
    refusals: trading.refusals,
    accountId: market.accountId,
    costs: { fees: trading.fees, spread: trading.spreadCosts },
    financing: trading.financed,
    currency: market.currency,
    noCosts: market.instruments.some((one) => one.traded.noCosts === true),
    turnover: metrics.get("turnover") ?? 0,
    buyAndHold,
    notes: [
      ...offlineNotes(listed, rows, returns),
      ...unboughtNotes(buyAndHold, listed.instruments.length),
      ...sourceNotes(identified, feeds, options.config),
      ...unlistedNotes(market, rows, options),
      ...judged.flatMap((one) => signalNote(one, firstValueWait(identified, one, feeds), trading)),
      ...judged.flatMap(heldNotes),
      ...staleNotes(identified, judged, feeds, trading.timesMs),
      ...endedNotes(market, rows, trading),
      ...refusalNotes(market, trading.refusals),
      ...fundingNotes(funding, trading.timesMs),
      ...marginNotes(market, trading),
      ...strayNote(market, trading),
      ...fillNotes(market, rows, trading.fills),
      ...growthNote(returns),
      ...ruinNote(trading.ruin, market.currency),
    ],
    datasetFingerprint: fingerprintOf([...feeds.values()]),
  };
  return { result, events: trading.events };
}

/** Rows of the feeds by name. @throws {StrategyRunError} `SOURCE_UNKNOWN` for an option that replaces no source. */
async function loadFeeds(
  names: readonly string[],
  options: CompiledOfflineOptions,
): Promise<Map<string, SourceRows>> {
  const { config, until, sources } = options;
  const feeds = new Map<string, SourceRows>();
  for (const name of sources.keys()) {
    if (config.sources[name] !== undefined) continue;
    const message = `the option "sources" names "${name}", but the configuration has no such source`;
    throw new StrategyRunError("SOURCE_UNKNOWN", message);
  }
  for (const name of new Set(names)) {
    feeds.set(name, await loadSourceRows(config, name, until, sources.get(name)));
  }
  return feeds;
}

/** Column of each target, in the order of the market. One that is to go flat does so after its clock has ended, too. */
function targetColumns(
  identified: IdentifiedStrategy,
  { instruments }: OfflineMarket,
  columns: ReadonlyMap<string, ComputedColumn>,
  feeds: ReadonlyMap<string, SourceRows>,
): ComputedColumn[] {
  const ends = sourcesOf(identified).map((name) => feeds.get(name)!.table.bucketEndMs);
  return instruments.map(({ target: { nodeId, node, intervalMs } }) =>
    withFlatEnd(columns.get(nodeId)!, node.stale, intervalMs, ends),
  );
}

/** The targets of the instruments that have a bar in the run. */
function judgedTargets(
  { instruments, initialCash, currency }: OfflineMarket,
  results: readonly ResultInstrument[],
  { targetChangesOf }: OfflineTrading,
  columns: ReadonlyMap<string, ComputedColumn>,
  rows: ReadonlyMap<string, TradedRows>,
): JudgedTarget[] {
  return instruments
    .map(
      (instrument, at): JudgedTarget => ({
        instrument,
        result: results[at]!,
        signal: columns.get(instrument.target.signalId)!,
        targetChanges: targetChangesOf[at]!,
        rows: rows.get(instrument.markSource)!,
        initialCash,
        currency,
      }),
    )
    .filter((one) => !isUnlisted(one.rows));
}

function nodeOf({ id, declared: { name, node } }: IdentifiedNode): ResultNode {
  return { id, name, type: node.nodeType };
}

async function callBack(strategy: Strategy, events: readonly TradeEvent[]): Promise<void> {
  for (const event of events) {
    const answer =
      event.kind === "fill" ? strategy.onFill(event.fill) : strategy.onSignal(event.signal);
    if (answer !== undefined) await answer;
  }
}

function tradedRows(feed: SourceRows, options: CompiledOfflineOptions): TradedRows {
  const { bucketEndMs, rows } = feed.table;
  return { feed, first: rowsUntil(bucketEndMs, options.fromMs), end: rows };
}

const isUnlisted = ({ first, end }: TradedRows): boolean => first === end;

/** The market without the instruments that have no bar in the run. @throws {StrategyRunError} `RANGE_EMPTY` if none has. */
function listedMarket(
  market: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
  options: CompiledOfflineOptions,
): OfflineMarket {
  const [first] = rows.values();
  if (first !== undefined && [...rows.values()].every(isUnlisted))
    throw new StrategyRunError("RANGE_EMPTY", whyUnlisted(first.feed, options));
  const listed = ({ markSource }: MarketInstrument) => !isUnlisted(rows.get(markSource)!);
  return { ...market, instruments: market.instruments.filter(listed) };
}

/** Notes the instruments that have no bar in the run, because they are listed after it or were delisted before. */
function unlistedNotes(
  { instruments }: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
  options: CompiledOfflineOptions,
): string[] {
  return instruments.flatMap(({ traded: { symbol }, markSource }) => {
    const range = rows.get(markSource)!;
    if (!isUnlisted(range)) return [];
    return [`${symbol} is not traded in this run: ${whyUnlisted(range.feed, options)}.`];
  });
}

function whyUnlisted({ name, table }: SourceRows, options: CompiledOfflineOptions): string {
  const { openTimeMs, rows } = table;
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const { start } = options.config.sources[name]!;
  const isHeld = options.until === undefined && start !== null;
  const why =
    rows > 0
      ? `the last bar up to until is of ${day(openTimeMs[rows - 1]!)}`
      : isHeld
        ? `none of its bars has ended at its "start" (${start}), and a backtest uses those that have: move start, or give until`
        : "its first bar ends after until";
  return `source "${name}" has no bar between from and until: ${why}`;
}

/** The returns of a run with the clock of the feeds it trades: names and order of the feeds decide nothing. */
function markReturnsOf(
  { timesMs, returns, turnover }: OfflineTrading,
  rows: ReadonlyMap<string, TradedRows>,
): MarkedReturns {
  const feeds = [...rows.values()].map(({ feed: { intervalMs, periodsPerYear } }) => {
    return { intervalSeconds: intervalMs / 1_000, periodsPerYear };
  });
  const endsMs = timesMs.subarray(1, returns.length + 1);
  return { ...returnsClock(feeds), source: "backtest", returns, endsMs, turnover };
}

function afterTarget(trading: OfflineTrading): OfflineResult["afterTarget"] {
  const { targetChanges, orders, fills, timesMs } = trading;
  return { targetChanges, orders: orders.length, fills: fills.length, bars: timesMs.length };
}

function fingerprintOf(feeds: readonly SourceRows[]): string {
  const [only, ...others] = feeds;
  if (only !== undefined && others.length === 0) return only.datasetFingerprint;
  const byName = Object.fromEntries(feeds.map((feed) => [feed.name, feed.datasetFingerprint]));
  return `blake3:${blake3Hex(jcs(byName))}`;
}

/** Outcome of each instrument of an offline run. */
function resultInstruments(
  market: OfflineMarket,
  trading: OfflineTrading,
  rows: ReadonlyMap<string, TradedRows>,
): ResultInstrument[] {
  return market.instruments.map(({ traded, markSource }, place) => {
    const { first, end } = rows.get(markSource)!;
    const holding = trading.holdings[place]!;
    const isOwn = ({ instrument }: { readonly instrument: string }): boolean =>
      instrument === traded.symbol;
    return {
      instrument: traded.symbol,
      markSource,
      bars: end - first,
      warmupRows: first < end ? first : 0,
      orders: trading.orders.filter(isOwn).length,
      fills: trading.fills.filter(isOwn).length,
      quantity: quantityFromLots(holding.lots, traded.lotSize),
      averageCost: holding.averageCost,
      mark: holding.mark,
      realisedPnl: holding.realisedPnl,
      unrealisedPnl: holding.unrealisedPnl,
      borrowFees: holding.borrowFees,
      funding: holding.funding,
      costs: { fees: holding.fees, spread: holding.spreadCosts },
    };
  });
}
