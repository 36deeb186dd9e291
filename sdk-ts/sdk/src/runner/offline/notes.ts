import { intervalText } from "@qmtl/core/dataflow";
import { isFinal, quantityFromLots } from "@qmtl/core/execution";
import { laterBucketEnd } from "@qmtl/core/intervals";
import type { ReturnSeries } from "@qmtl/core/metrics";
import type { QmtlConfig } from "../../config/index.ts";
import { StreamInput } from "../../strategy/index.ts";
import { HeldSignalMonitor } from "../signals/held-signal.ts";
import type { SourceRows } from "../source-files/source-rows.ts";
import type { IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";
import { barNotes } from "./bar-notes.ts";
import type { TradedRows } from "./bar-replay.ts";
import type { ComputedColumn } from "./compute.ts";
import type { MarketInstrument, OfflineMarket } from "./market.ts";
import type { ResultInstrument, ResultRuin } from "./result.ts";
import type { OfflineTrading } from "./trade.ts";
import { whyNoOrder } from "./why-no-order.ts";

/** A number of things, as text: `1 bar`, `2 bars`. */
export function counted(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** What a reader must know about the bars and how they were traded, one sentence each. */
export function offlineNotes(
  market: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
  returns: ReturnSeries,
): string[] {
  const { instruments } = market;
  const notes = instruments.map((one) => barsNote(one, rows.get(one.markSource)!));
  for (const { feed } of rows.values()) notes.push(...leftNote(feed));
  notes.push(...perInstrument(instruments, fillNote), ...perInstrument(instruments, costNote));
  if (rows.size > 1) {
    const interval = intervalText(returns.intervalSeconds * 1_000);
    notes.push(
      `Ratios take one return per ${interval}, at the last bar that ends in it; total return and drawdown are of every bar.`,
    );
  }
  if (instruments.length > 1) {
    const symbols = instruments.map(({ traded }) => traded.symbol).join(", ");
    notes.push(`Buy and hold buys ${symbols} once, at equal weights.`);
  }
  const sources = [...new Set(instruments.map(({ markSource }) => markSource))];
  notes.push(...paceNote(returns, sources.map((name) => `source ${name}`).join(" and ")));
  for (const { traded, markSource } of instruments) {
    notes.push(...barNotes(traded.symbol, rows.get(markSource)!));
  }
  for (const { traded, markSource } of instruments) {
    const range = rows.get(markSource)!;
    const bars = range.end - range.first;
    const same = opensAtPreviousClose(range.feed, range);
    if (same * 20 < bars) continue;
    const of = instruments.length > 1 ? ` of ${traded.symbol}` : "";
    notes.push(
      `The open equals the previous close on ${same} of ${counted(bars - 1, "bar")}${of}: there a fill at the next open is in effect a fill at the close it was decided on.`,
    );
  }
  return notes;
}

/** Note that the run ended with nothing left. */
export function ruinNote(ruin: ResultRuin | undefined, currency: string): string[] {
  if (ruin === undefined) return [];
  return [
    `The equity was ${ruin.equity.toFixed(2)} ${currency} at the bar ending ${day(ruin.timeMs)}: the run is ruined, its last return is -100 %, what is held is closed at the next open, and nothing else trades after it.`,
  ];
}

/** Share of a year of returns below which a yearly growth rate is noted. */
const yearShareMin = 0.5;

/** Note that a compound annual growth rate is of too few returns to say anything of a year. */
export function growthNote({ samples, periodsPerYear, isRuined }: ReturnSeries): string[] {
  if (samples === 0 || isRuined || samples >= yearShareMin * periodsPerYear) return [];
  const returns = counted(samples, "return");
  const rounded = Number(periodsPerYear.toPrecision(6));
  return [
    `The cagr is of ${returns}, and a year has ${rounded}: it says what the same growth would make of a year, not what to expect.`,
  ];
}

/** A held weight this far from its target is noted. */
const STRAY_MIN = 0.05;

/**
 * Notes the instrument whose held weight was furthest from its target at the end of a bar, while none of its orders
 * waited: a quantity is fixed when its target is sized, and what it is worth drifts from then on.
 */
export function strayNote(
  { instruments }: OfflineMarket,
  { strays, timesMs }: Pick<OfflineTrading, "strays" | "timesMs">,
): string[] {
  const size = (stray: OfflineTrading["strays"][number]): number =>
    stray === undefined ? 0 : Math.abs(stray.held - stray.target);
  const at = strays.reduce((worst, stray, k) => (size(stray) > size(strays[worst]) ? k : worst), 0);
  const worst = strays[at];
  if (worst === undefined || size(worst) < STRAY_MIN) return [];
  const { target, held, mark } = worst;
  const way = Math.abs(held) > Math.abs(target) ? "up" : "down";
  const symbol = instruments[at]!.traded.symbol;
  return [
    `${symbol}: target ${target.toFixed(2)}, held ${way} to ${held.toFixed(2)} on ${day(timesMs[mark]!)}. A weight is sized when its target changes, and otherwise only as its rebalance says.`,
  ];
}

/** An instrument has ended if it has no bar in as many intervals before the end of the run. */
const ENDED_INTERVALS = 5;

/**
 * Notes each instrument whose bars end long before the run while something of it is held or an order of it waits: it is
 * worth its last close from then on, and nothing of it can be traded.
 */
export function endedNotes(
  { instruments }: OfflineMarket,
  rows: ReadonlyMap<string, TradedRows>,
  { holdings, orders, timesMs }: Pick<OfflineTrading, "holdings" | "orders" | "timesMs">,
): string[] {
  const untilMs = timesMs.at(-1)!;
  return instruments.flatMap(({ traded: { symbol, lotSize }, markSource }, at) => {
    const { feed, first, end } = rows.get(markSource)!;
    if (first === end) return [];
    const { openTimeMs, bucketEndMs } = feed.table;
    if (laterBucketEnd(bucketEndMs[end - 1]!, ENDED_INTERVALS, feed.intervalMs) > untilMs)
      return [];
    const last = day(openTimeMs[end - 1]!);
    const { lots } = holdings[at]!;
    const held = `${quantityFromLots(lots, lotSize)} ${symbol} are held to the end at the close of ${last}`;
    const waits = `An order of ${symbol} waits to the end, and the buying power counts it as filled`;
    const because = `source ${markSource} has no later bar`;
    return [
      ...(lots === 0 ? [] : [`${held}: ${because}.`]),
      ...(orders.some((order) => order.instrument === symbol && !isFinal(order.state))
        ? [`${waits}: ${because} than ${last}.`]
        : []),
    ];
  });
}

/** Number of bars of a range, except its first, whose open equals the previous close. */
function opensAtPreviousClose(feed: SourceRows, range: Pick<TradedRows, "first" | "end">): number {
  const open = feed.column("open");
  const close = feed.column("close");
  let same = 0;
  for (let i = range.first + 1; i < range.end; i++) if (open[i] === close[i - 1]) same++;
  return same;
}

/** One sentence if it is the same for all instruments, else one per instrument. */
function perInstrument(
  instruments: readonly MarketInstrument[],
  note: (instrument: MarketInstrument) => string,
): string[] {
  const notes = instruments.map(note);
  if (new Set(notes).size === 1) return notes.slice(0, 1);
  return notes.map((one, at) => `${instruments[at]!.traded.symbol}: ${one}`);
}

function barsNote({ traded }: MarketInstrument, { feed, first, end }: TradedRows): string {
  const { openTimeMs } = feed.table;
  const from = day(openTimeMs[first]!);
  const to = day(openTimeMs[end - 1]!);
  const before = first === 0 ? "" : `; ${counted(first, "row")} before them warmed the nodes`;
  return `${counted(end - first, "bar")} of ${traded.symbol}, ${from} to ${to}${before}.`;
}

function leftNote({ name, rowsLeft }: SourceRows): string[] {
  if (rowsLeft === 0) return [];
  const rows = counted(rowsLeft, "row");
  return [
    `The ${rows} of source ${name} that had not ended at its "start" belong to a world and were left out: give "until" to include them.`,
  ];
}

/**
 * Notes what the configuration says of the sources that were read and what does nothing: a `start` after the last row,
 * and a schedule that no stream of the source has.
 */
export function sourceNotes(
  { graph }: IdentifiedStrategy,
  feeds: ReadonlyMap<string, SourceRows>,
  { sources }: Pick<QmtlConfig, "sources">,
): string[] {
  const streams = graph.nodes.flatMap(({ declared: { node } }) =>
    node instanceof StreamInput ? [node] : [],
  );
  return [...feeds.values()].flatMap(({ name, schedule, lastBeforeStartMs }) => {
    const own = streams.filter(({ source }) => source === name);
    const isIdle = schedule === "continuous" && own.some((one) => one.schedule === "observed");
    return [
      ...(lastBeforeStartMs === undefined
        ? []
        : [
            `The "start" of source ${name} (${sources[name]!.start}) is later than its last bar (${day(lastBeforeStartMs)}): a world gets no bar of it.`,
          ]),
      ...(isIdle
        ? [
            `Source ${name} is continuous in the configuration, but a stream reads it as observed, so a bucket without a row is no hole in its windows: state schedule: "continuous" of the StreamInput, too.`,
          ]
        : []),
    ];
  });
}

function fillNote({ traded }: MarketInstrument): string {
  return traded.sameBarClose === true
    ? "Orders fill at the close they were decided on: a comparison, which could not be traded."
    : "Orders are decided on a close and fill at the next open.";
}

function costNote({ traded }: MarketInstrument): string {
  if (traded.noCosts === true) return "No costs: fees and spread were left out.";
  const { feeBps, halfSpreadBps } = traded.costs;
  return `Costs: ${feeBps} bp fee and ${halfSpreadBps} bp half spread on each side.`;
}

const yearMs = 365.2425 * 86_400_000;
const weekMs = 7 * 86_400_000;

/** With fewer returns than this, nothing is noted about how often they come. */
const RETURNS_MIN = 20;

/**
 * Notes that returns come far more or less often than `periods_per_year` says: every annualised figure is then wrong.
 *
 * How far is "far" depends on the time the returns span: the minutes of one day say little about a year.
 */
function paceNote({ endsMs, samples, periodsPerYear }: ReturnSeries, sources: string): string[] {
  const spanMs = samples === 0 ? 0 : endsMs[samples - 1]! - endsMs[0]!;
  if (samples < RETURNS_MIN || !(spanMs > 0)) return [];
  const perYear = (samples - 1) / (spanMs / yearMs);
  const allowed = spanMs < weekMs ? 10 : spanMs < yearMs / 2 ? 1.6 : 1.25;
  const ratio = perYear / periodsPerYear;
  if (ratio <= allowed && ratio >= 1 / allowed) return [];
  const [told, rounded] = [periodsPerYear, perYear].map((value) => Number(value.toPrecision(3)));
  return [
    `Annualised figures assume ${told} returns per year, but the run has about ${rounded} per year: set periods_per_year of ${sources}.`,
  ];
}

/** A target with the orders and results it led to. */
export interface JudgedTarget {
  readonly instrument: MarketInstrument;
  readonly result: ResultInstrument;
  /** Values of the signal that the target is made from. */
  readonly signal: ComputedColumn;
  readonly targetChanges: number;
  readonly rows: TradedRows;
  readonly initialCash: number;
  readonly currency: string;
}

/** Number and range of a signal's values over the bars traded. */
interface SignalRange {
  /** Number of rows in all; `before` counts those before the first value. */
  readonly rows: number;
  readonly before: number;
  readonly lowest: number;
  readonly highest: number;
}

/**
 * The row of a signal's first value, or why its target led to no order: the signal never had a value or never reached a
 * threshold, or its orders were refused or smaller than a lot. Empty if there is nothing to explain.
 */
export function signalNote(
  judged: JudgedTarget,
  waitsFor: string,
  trading: Pick<OfflineTrading, "orders" | "refusals">,
): string[] {
  const { instrument, result, targetChanges } = judged;
  const { target, traded } = instrument;
  const signal = `signal "${target.signalName}" of ${traded.symbol}`;
  const range = rangeOf(judged);
  if (range.before === range.rows) {
    const why = "its windows are longer than the data, or its result is NaN";
    return [`No order: the ${signal} has no value on any of its ${range.rows} rows; ${why}.`];
  }
  if (result.orders > 0) {
    if (range.before === 0) return [];
    const first = `first value on row ${range.before + 1} of ${range.rows}`;
    return [`The ${signal} has its ${first}${waitsFor}.`];
  }
  if (targetChanges === 0) {
    const between = `lies between ${shown(range.lowest)} and ${shown(range.highest)}`;
    const isTakenAtTimes = target.node.sizedRowOutput >= 0;
    const when = isTakenAtTimes ? " at a bucket at which its rebalance takes it" : "";
    return [`No order: the ${signal} ${between}, never ${target.node.whatMoves()}${when}.`];
  }
  return [`No order: the target of ${traded.symbol} changed, but ${sizeOf(judged, trading)}.`];
}

/** Notes on how many of the bars traded a target held its signal at one of its bounds. */
export function heldNotes({
  instrument: { target, traded },
  signal,
  rows,
}: JudgedTarget): string[] {
  const { bounds } = target.node;
  if (bounds === undefined) return [];
  const count = new HeldSignalMonitor(bounds);
  const { fromMs, untilMs } = spanOf(rows);
  for (let i = 0; i < signal.values.length; i++) {
    if (signal.endMs[i]! >= fromMs && signal.endMs[i]! <= untilMs) count.take(signal.values[i]!);
  }
  return count.texts().map((text) => `Signal "${target.signalName}" of ${traded.symbol}: ${text}.`);
}

/** Ends of the first and of the last bar traded. */
function spanOf({ feed, first, end }: TradedRows): { fromMs: number; untilMs: number } {
  const { bucketEndMs } = feed.table;
  return { fromMs: bucketEndMs[first]!, untilMs: bucketEndMs[end - 1]! };
}

function rangeOf({ signal, rows: traded }: JudgedTarget): SignalRange {
  const { endMs, values } = signal;
  const { fromMs, untilMs } = spanOf(traded);
  let [rows, before, lowest, highest] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    if (endMs[i]! < fromMs || endMs[i]! > untilMs) continue;
    rows++;
    const value = values[i]!;
    if (Number.isNaN(value)) {
      if (highest < lowest) before++;
      continue;
    }
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return { rows, before, lowest, highest };
}

function sizeOf(
  { instrument, result: { mark }, initialCash: money, currency }: JudgedTarget,
  trading: Pick<OfflineTrading, "orders" | "refusals">,
): string {
  return whyNoOrder({ instrument, mark, money, currency }, trading);
}

function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}
