import {
  type Financed,
  OfflineAccount,
  type OfflineExposure,
  type OfflinePosition,
  type OfflineRefusal,
  quantityFromLots,
  type RouterOrder,
  refusalReason,
  type SimulatedFill,
  type StrayRecord,
} from "@qmtl/core/execution";
import type { StrategyFill, TargetSignal } from "../../strategy/index.ts";
import { BarReplay, type TradedRows } from "./bar-replay.ts";
import type { ComputedColumn } from "./compute.ts";
import { FundingReplay, type FundingRows } from "./funding-replay.ts";
import type { MarketInstrument, OfflineMarket } from "./market.ts";
import type { ResultRefusal, ResultRuin } from "./result.ts";

/** An event that is passed to a callback of the strategy. */
export type TradeEvent =
  | { readonly kind: "signal"; readonly signal: TargetSignal }
  | { readonly kind: "fill"; readonly fill: StrategyFill };

/** Result of trading target columns over the bars of their instruments. */
export interface OfflineTrading {
  /** Marks: the moments at which a bar of any traded feed ended, milliseconds, increasing. */
  readonly timesMs: Float64Array;
  /** Equity at each mark; 0 from the mark on at which nothing was left. */
  readonly equity: Float64Array;
  /** Exposure at each mark; 0 from the mark on at which nothing was left. */
  readonly exposure: OfflineExposure;
  /** Return of the equity from each mark to the next, up to the last or to ruin, which returns −1. */
  readonly returns: Float64Array;
  /** Σ of traded notional ÷ equity at the previous mark, aligned with `returns`. */
  readonly turnover: Float64Array;
  /** Undefined if the equity stayed above 0. */
  readonly ruin: ResultRuin | undefined;
  readonly orders: readonly Readonly<RouterOrder>[];
  /** When each of `orders` was decided: end of the bucket, milliseconds; `length = orders`. */
  readonly orderTimesMs: readonly number[];
  readonly fills: readonly StrategyFill[];
  readonly refusals: readonly ResultRefusal[];
  readonly fees: number;
  readonly spreadCosts: number;
  /** What holding positions has cost; below 0: received. */
  readonly financed: Readonly<Financed>;
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
 * end there are played, in the order of the market: waiting orders fill at their opens, and their closes are the marks.
 * Midnights since the bars before are charged before that, on what was held until then, and funding and a midnight of
 * this very moment after it, in this order. A row of funding that ends between bars is such a moment, too.
 * Then the targets are taken that changed, are to be sized again or, where a bar of their instrument ended, have
 * strayed from what is held or, with a drift, miss orders that a limit refused. Each is sized at its instrument's last
 * close with the equity that the whole account has at this moment, those that reduce first, then in the order of the
 * market, and its order fills at the open of the first bar of the instrument that begins from then on. Then equity and
 * exposure are recorded, if a bar ended. Target rows that end before the first bar are taken at its end. Once the
 * equity is 0 or less nothing trades any more.  @param targets one column per instrument, in the order of the market;
 * NaN keeps the previous value @param rows rows of every mark source, by name; in which order does not matter @param
 * funding rates of the instruments that have funding. @default none
 */
export function tradeOffline(
  market: OfflineMarket,
  targets: readonly ComputedColumn[],
  rows: ReadonlyMap<string, TradedRows>,
  funding: readonly FundingRows[] = [],
): OfflineTrading {
  return new TradingRun(market, targets, rows, funding).run();
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
  readonly #funding: FundingReplay;
  readonly #targets: readonly InstrumentTarget[];
  readonly #timesMs: Float64Array;
  /** Turnover of the account at each mark. */
  readonly #turned: Float64Array;
  /** Targets that are to be taken at the present moment. */
  readonly #open: InstrumentTarget[] = [];
  readonly #fills: StrategyFill[] = [];
  readonly #events: TradeEvent[] = [];
  /** Ends of the buckets at which the orders and the refusals of the account came about, in their order. */
  readonly #orderTimesMs: number[] = [];
  readonly #refusalTimesMs: number[] = [];
  #marks = 0;

  constructor(
    market: OfflineMarket,
    targets: readonly ComputedColumn[],
    rows: ReadonlyMap<string, TradedRows>,
    funding: readonly FundingRows[],
  ) {
    const { instruments } = market;
    this.#funding = new FundingReplay(funding);
    const replays = new Map<string, BarReplay>();
    for (const { markSource } of instruments) {
      if (replays.has(markSource)) continue;
      const places = instruments.flatMap((one, at) => (one.markSource === markSource ? [at] : []));
      replays.set(markSource, new BarReplay(rows.get(markSource)!, places));
    }
    this.#replays = [...replays.values()];
    this.#targets = instruments.map((instrument, place) => {
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
    const bars = this.#replays.reduce((sum, { bars }) => sum + bars, 0);
    this.#account = new OfflineAccount({
      instruments: instruments.map(({ traded }) => traded),
      capital: market.initialCash,
      limits: market.limits,
      money: market.money,
      rowsExpected: bars,
    });
    this.#timesMs = new Float64Array(bars);
    this.#turned = new Float64Array(bars);
  }

  /** Plays all moments in order, up to the last bar. */
  run(): OfflineTrading {
    const account = this.#account;
    const replays = this.#replays;
    const instrumentTargets = this.#targets;
    for (;;) {
      const barMs = this.#nextBarMs();
      if (barMs === Number.POSITIVE_INFINITY) return this.#result(undefined);
      const nowMs = this.#marks === 0 ? barMs : this.#nextMs(barMs);
      if (nowMs === barMs || nowMs === this.#funding.nextEndMs) account.financeBefore(nowMs);
      for (let k = 0; k < replays.length; k++) {
        if (replays[k]!.nextEndMs === nowMs) replays[k]!.play(account);
      }
      if (account.fills.length > this.#fills.length) this.#collectFills();
      this.#funding.play(account, nowMs);
      if (nowMs === barMs) {
        account.financeAt(nowMs);
        account.settle((place) => instrumentTargets[place]!.replay.begunRow(nowMs), nowMs);
      }
      for (let k = 0; k < instrumentTargets.length; k++)
        this.#advance(instrumentTargets[k]!, nowMs);
      if (this.#open.length > 0) this.#takeOpen(nowMs);
      this.#noteTimes(nowMs);
      if (nowMs < barMs) continue;
      account.mark();
      this.#turned[this.#marks] = account.turnover;
      this.#timesMs[this.#marks++] = nowMs;
      if (account.lastEquity <= 0) return this.#ruined(nowMs);
    }
  }

  /** Closes what is held at the next open, and passes over the bars that are left: nothing else trades on them. */
  #ruined(nowMs: number): OfflineTrading {
    const ruin = { timeMs: nowMs, equity: this.#account.lastEquity };
    for (;;) {
      const barMs = this.#nextBarMs();
      if (barMs === Number.POSITIVE_INFINITY) return this.#result(ruin);
      const isClosing = this.#account.isWorking;
      for (const replay of this.#replays) {
        if (replay.nextEndMs !== barMs) continue;
        if (isClosing) replay.play(this.#account);
        else replay.skip();
      }
      this.#noteTimes(barMs);
      this.#collectFills();
      this.#timesMs[this.#marks++] = barMs;
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

  /** End of the next target row, of the next row of funding or of the next bar, whichever is first. */
  #nextMs(barMs: number): number {
    let nextMs = Math.min(barMs, this.#funding.nextEndMs);
    for (let k = 0; k < this.#targets.length; k++) {
      const { column, next } = this.#targets[k]!;
      if (next < column.endMs.length && column.endMs[next]! < nextMs) nextMs = column.endMs[next]!;
    }
    return nextMs;
  }

  #result(ruin: ResultRuin | undefined): OfflineTrading {
    const account = this.#account;
    const { fees, spreadCosts, financed } = account.totals();
    const { gross, net, largestWeight } = account.exposure();
    const lived = ruin === undefined ? account.equity().length : account.equity().length - 1;
    const all = (values: Float64Array): Float64Array => {
      const whole = new Float64Array(this.#marks);
      whole.set(values.subarray(0, lived));
      return whole;
    };
    const equity = all(account.equity());
    const returns = new Float64Array(Math.max(0, account.equity().length - 1));
    const turnover = new Float64Array(returns.length);
    for (let k = 0; k < returns.length; k++) {
      returns[k] = equity[k + 1]! / equity[k]! - 1;
      turnover[k] = this.#turned[k + 1]! - this.#turned[k]!;
    }
    return {
      timesMs: this.#timesMs.slice(0, this.#marks),
      equity,
      exposure: { gross: all(gross), net: all(net), largestWeight: all(largestWeight) },
      returns,
      turnover,
      ruin,
      orders: account.orders,
      orderTimesMs: this.#orderTimesMs,
      fills: this.#fills,
      refusals: account.refusals.map((refusal, at) =>
        this.#resultRefusal(refusal, this.#refusalTimesMs[at]!),
      ),
      fees,
      spreadCosts,
      financed,
      targetChanges: this.#targets.reduce((sum, { changes }) => sum + changes, 0),
      targetChangesOf: this.#targets.map(({ changes }) => changes),
      holdings: this.#targets.map(({ place }) => account.holding(place)),
      strays: this.#targets.map(({ place }) => account.largestStray(place)),
      events: this.#events,
    };
  }

  /** Moves a target to its last row that has ended; it is open if it is to be sized at this moment. */
  #advance(target: InstrumentTarget, nowMs: number): void {
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
    const isMarked = target.replay.endedAt(nowMs);
    target.isStray = isMarked && this.#account.isStray(target.place);
    const isShort = isMarked && this.#account.isShort(target.place);
    if (!target.isTaken || target.isStray || isShort) this.#open.push(target);
  }

  /** Takes the targets of a moment. A value that could not be sized, for lack of a mark, is tried again. */
  #takeOpen(nowMs: number): void {
    const open = this.#open;
    const taken = this.#account.takeTargets(
      open.map(({ place, replay, standing, sizedRow, isStray }) => ({
        at: place,
        row: replay.begunRow(nowMs),
        value: standing,
        sizedRow,
        resize: isStray,
      })),
    );
    for (let k = 0; k < open.length; k++) open[k]!.isTaken = taken[k]!;
    open.length = 0;
    this.#collectFills();
  }

  /** The bar in which an instrument is then may end much later, or have ended long ago. */
  #noteTimes(nowMs: number): void {
    const { orders, refusals } = this.#account;
    while (this.#orderTimesMs.length < orders.length) this.#orderTimesMs.push(nowMs);
    while (this.#refusalTimesMs.length < refusals.length) this.#refusalTimesMs.push(nowMs);
  }

  #collectFills(): void {
    const { fills } = this.#account;
    while (this.#fills.length < fills.length) {
      const fill = this.#strategyFill(fills[this.#fills.length]!);
      this.#fills.push(fill);
      this.#events.push({ kind: "fill", fill });
    }
  }

  #resultRefusal({ instrument, lots, reason }: OfflineRefusal, eventTimeMs: number): ResultRefusal {
    const target = this.#targets.find((each) => each.instrument.traded.symbol === instrument)!;
    return {
      instrument,
      quantity: quantityFromLots(lots, target.instrument.traded.lotSize),
      reason: refusalReason(reason),
      eventTimeMs,
    };
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
