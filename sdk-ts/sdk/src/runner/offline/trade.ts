import {
  OfflineAccount,
  type OfflinePosition,
  quantityFromLots,
  type RouterOrder,
  type SimulatedFill,
  type StrayRecord,
} from "@qmtl/core/execution";
import type { StrategyFill, TargetSignal } from "../../strategy/index.ts";
import { BarReplay, type TradedRows } from "./bar-replay.ts";
import type { ComputedColumn } from "./compute.ts";
import type { MarketInstrument, OfflineMarket } from "./market.ts";

/** An event that is passed to a callback of the strategy. */
export type TradeEvent =
  | { readonly kind: "signal"; readonly signal: TargetSignal }
  | { readonly kind: "fill"; readonly fill: StrategyFill };

/** Result of trading target columns over the bars of their instruments. */
export interface OfflineTrading {
  /** Moments at which a bar of any traded feed ended, milliseconds, increasing. */
  readonly timesMs: Float64Array;
  /** Equity at each of `timesMs`. */
  readonly equity: Float64Array;
  /** Bucket ends of the returns' feed, without its first; one per return. */
  readonly returnTimesMs: Float64Array;
  /** Return of the equity from one bucket end of that feed to the next. */
  readonly returns: Float64Array;
  /** Σ of traded notional ÷ equity at the previous mark, aligned with `returns`. */
  readonly turnover: Float64Array;
  readonly orders: readonly Readonly<RouterOrder>[];
  readonly fills: readonly StrategyFill[];
  readonly fees: number;
  readonly spreadCosts: number;
  readonly targetChanges: number;
  /** Target changes per instrument, in the order of the market. */
  readonly targetChangesOf: readonly number[];
  /** What is held at the end, one entry per instrument. */
  readonly holdings: readonly OfflinePosition[];
  /** How far what was held was from the target at the worst of `timesMs`, per instrument; undefined if nothing was. */
  readonly strays: readonly (StrayRecord | undefined)[];
  readonly events: readonly TradeEvent[];
}

/**
 * Trades targets over the bars of their instruments, through the router and broker that paper uses.
 *
 * Everything happens at the ends of bars and of target rows, in order of time. At each such moment, first the bars that
 * end there are played, by name of their feed: waiting orders fill at their opens, and their closes are the marks. Then
 * the targets are taken that changed, are to be sized again or, where a bar of their instrument ended, have strayed from
 * what is held. Each is sized at its instrument's last close with the equity that the whole account has at this moment,
 * those that reduce first, and its order fills at the open of the first bar of the instrument that begins from then on.
 * Then the equity is recorded, if a bar ended. Target rows that end before the first bar are taken at its end.
 *
 * @param targets one column per instrument, in the order of the market; NaN keeps the previous value
 * @param rows rows of every mark source and of the returns' source, by name
 */
export function tradeOffline(
  market: OfflineMarket,
  targets: readonly ComputedColumn[],
  rows: ReadonlyMap<string, TradedRows>,
): OfflineTrading {
  const bars = [...rows.values()].reduce((sum, { first, end }) => sum + end - first, 0);
  return new TradingRun(market, targets, rows, bars).run();
}

/** A target column and how far the account has taken it. */
interface InstrumentTarget {
  readonly place: number;
  readonly instrument: MarketInstrument;
  readonly column: ComputedColumn;
  readonly replay: BarReplay;
  /** First row that has not ended. */
  next: number;
  /** Last value that was a number; 0 at first. */
  standing: number;
  /** Last row at which it was to be sized; −1 at first. */
  sizedRow: number;
  /** The account has taken `standing` as sized at `sizedRow`: there was a mark to size it at. */
  isTaken: boolean;
  /** It is to be sized again because what is held has strayed from it. */
  isStray: boolean;
  changes: number;
}

class TradingRun {
  readonly #account: OfflineAccount;
  readonly #replays: readonly BarReplay[];
  readonly #clock: BarReplay;
  readonly #targets: readonly InstrumentTarget[];
  readonly #timesMs: Float64Array;
  readonly #clockMs: Float64Array;
  readonly #clockEquity: Float64Array;
  readonly #clockTurnover: Float64Array;
  readonly #fills: StrategyFill[] = [];
  readonly #events: TradeEvent[] = [];
  #marks = 0;
  #clockMarks = 0;

  constructor(
    market: OfflineMarket,
    targets: readonly ComputedColumn[],
    rows: ReadonlyMap<string, TradedRows>,
    bars: number,
  ) {
    const replays = new Map<string, BarReplay>();
    for (const name of [...rows.keys()].sort()) {
      const places = market.instruments.flatMap(({ markSource }, place) =>
        markSource === name ? [place] : [],
      );
      replays.set(name, new BarReplay(rows.get(name)!, places));
    }
    this.#replays = [...replays.values()];
    this.#clock = replays.get(market.returnsSource)!;
    this.#targets = market.instruments.map((instrument, place) => {
      const replay = replays.get(instrument.markSource)!;
      return {
        place,
        instrument,
        column: targets[place]!,
        replay,
        next: 0,
        standing: 0,
        sizedRow: -1,
        isTaken: true,
        isStray: false,
        changes: 0,
      };
    });
    this.#account = new OfflineAccount({
      instruments: market.instruments.map(({ traded }) => traded),
      capital: market.initialCash,
      rowsExpected: bars,
    });
    this.#timesMs = new Float64Array(bars);
    const { first, end } = rows.get(market.returnsSource)!;
    this.#clockMs = new Float64Array(end - first);
    this.#clockEquity = new Float64Array(end - first);
    this.#clockTurnover = new Float64Array(end - first);
  }

  /** Plays all moments in order, up to the last bar. */
  run(): OfflineTrading {
    const account = this.#account;
    const replays = this.#replays;
    const instrumentTargets = this.#targets;
    for (;;) {
      const barMs = this.#nextBarMs();
      if (barMs === Number.POSITIVE_INFINITY) return this.#result();
      const nowMs = this.#marks === 0 ? barMs : this.#nextMs(barMs);
      const isClock = this.#clock.nextEndMs === nowMs;
      for (let k = 0; k < replays.length; k++) {
        if (replays[k]!.nextEndMs === nowMs) replays[k]!.play(account);
      }
      if (account.fills.length > this.#fills.length) this.#collectFills();
      let due = 0;
      for (let k = 0; k < instrumentTargets.length; k++) {
        if (this.#isDue(instrumentTargets[k]!, nowMs)) due++;
      }
      if (due > 0) this.#takeTargets(nowMs);
      if (nowMs < barMs) continue;
      account.mark();
      this.#timesMs[this.#marks++] = nowMs;
      if (isClock) this.#noteReturn(nowMs);
    }
  }

  /** End of the next bar; ∞ after the last. */
  #nextBarMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (let k = 0; k < this.#replays.length; k++) {
      const endMs = this.#replays[k]!.nextEndMs;
      if (endMs < nextMs) nextMs = endMs;
    }
    return nextMs;
  }

  /** End of the next target row or of the next bar, whichever is first. */
  #nextMs(barMs: number): number {
    let nextMs = barMs;
    for (let k = 0; k < this.#targets.length; k++) {
      const { column, next } = this.#targets[k]!;
      if (next < column.endMs.length && column.endMs[next]! < nextMs) nextMs = column.endMs[next]!;
    }
    return nextMs;
  }

  #noteReturn(nowMs: number): void {
    const at = this.#clockMarks++;
    this.#clockMs[at] = nowMs;
    this.#clockEquity[at] = this.#account.lastEquity;
    this.#clockTurnover[at] = this.#account.turnover;
  }

  #result(): OfflineTrading {
    const { fees, spreadCosts } = this.#account.totals();
    const equity = this.#clockEquity;
    const turned = this.#clockTurnover;
    const length = Math.max(0, this.#clockMarks - 1);
    const returns = new Float64Array(length);
    const turnover = new Float64Array(length);
    for (let k = 0; k < length; k++) {
      returns[k] = equity[k + 1]! / equity[k]! - 1;
      turnover[k] = turned[k + 1]! - turned[k]!;
    }
    return {
      timesMs: this.#timesMs.slice(0, this.#marks),
      equity: this.#account.equity().slice(),
      returnTimesMs: this.#clockMs.slice(1, this.#clockMarks),
      returns,
      turnover,
      orders: this.#account.orders,
      fills: this.#fills,
      fees,
      spreadCosts,
      targetChanges: this.#targets.reduce((sum, { changes }) => sum + changes, 0),
      targetChangesOf: this.#targets.map(({ changes }) => changes),
      holdings: this.#targets.map(({ place }) => this.#account.holding(place)),
      strays: this.#targets.map(({ place }) => this.#account.largestStray(place)),
      events: this.#events,
    };
  }

  /**
   * Moves a target on to a moment. True if it is to be sized there. One that could not be, for lack of a mark, is tried
   * again.
   */
  #isDue(target: InstrumentTarget, nowMs: number): boolean {
    const { endMs, values, sizedRows } = target.column;
    let next = target.next;
    while (next < endMs.length && endMs[next]! <= nowMs) next++;
    if (next > target.next) {
      target.next = next;
      const value = values[next - 1]!;
      const sizedRow = sizedRows === undefined ? -1 : sizedRows[next - 1]!;
      if (sizedRow > target.sizedRow) {
        target.sizedRow = sizedRow;
        target.isTaken = false;
      }
      if (value !== target.standing && !Number.isNaN(value)) {
        target.standing = value;
        target.isTaken = false;
        target.changes++;
        this.#events.push({ kind: "signal", signal: signalOf(target) });
      }
    }
    target.isStray = target.replay.endedAt(nowMs) && this.#account.isStray(target.place);
    return !target.isTaken || target.isStray;
  }

  /** Sizes the targets that are due, all at this moment. */
  #takeTargets(nowMs: number): void {
    const due = this.#targets.filter(({ isTaken, isStray }) => !isTaken || isStray);
    const taken = this.#account.takeTargets(
      due.map(({ place, replay, standing, sizedRow, isStray }) => ({
        at: place,
        row: replay.begunRow(nowMs),
        value: standing,
        sizedRow,
        resize: isStray,
      })),
    );
    due.forEach((target, k) => {
      target.isTaken = taken[k]!;
    });
    this.#collectFills();
  }

  #collectFills(): void {
    const { fills } = this.#account;
    while (this.#fills.length < fills.length) {
      const fill = this.#strategyFill(fills[this.#fills.length]!);
      this.#fills.push(fill);
      this.#events.push({ kind: "fill", fill });
    }
  }

  #strategyFill(fill: SimulatedFill): StrategyFill {
    const { instrument, orderId, executionId, lots, price, fee, row } = fill;
    const target = this.#targets.find((each) => each.instrument.traded.symbol === instrument)!;
    const { traded } = target.instrument;
    const { table, firstRow } = target.replay.feed;
    const times = traded.sameBarClose === true ? table.bucketEndMs : table.openTimeMs;
    return {
      instrument,
      clientOrderId: orderId,
      executionId,
      side: lots > 0 ? "buy" : "sell",
      quantity: quantityFromLots(Math.abs(lots), traded.lotSize),
      price,
      fee,
      eventTimeMs: times[row - firstRow]!,
    };
  }
}

function signalOf({ instrument, column, next, standing }: InstrumentTarget): TargetSignal {
  const row = next - 1;
  return {
    node: instrument.target.name,
    instrument: instrument.traded.symbol,
    target: standing,
    row: column.firstRow + row,
    bucketEndMs: column.endMs[row]!,
  };
}
