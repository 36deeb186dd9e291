import type { AccountMoney } from "./account-money.ts";
import { appended } from "./appended.ts";
import { BoundedLog } from "./bounded-log.ts";
import { BrokerFill } from "./broker-fill.ts";
import { type BrokerPositions, OwnPositions } from "./broker-positions.ts";
import {
  type CompiledInstrument,
  compileInstrument,
  type InstrumentSpec,
} from "./instrument-spec.ts";
import { OrderIndex } from "./order-index.ts";
import {
  type AcceptOutcome,
  fillPriceOn,
  isAfterDecision,
  type SimulatedBar,
  type SimulatedFill,
  type SimulatedOrder,
} from "./simulated-order.ts";
import {
  checkCosts,
  feeOf,
  NO_COSTS,
  priceAcrossSpread,
  type TradingCosts,
} from "./trading-costs.ts";

/** Costs must be given, or left out explicitly by `noCosts`. */
export type CostOptions =
  | { readonly costs: TradingCosts; readonly noCosts?: false }
  | { readonly noCosts: true };

export type SimulatedBrokerOptions = CostOptions & {
  readonly instruments: readonly InstrumentSpec[];
  /**
   * Fill market orders at the close of the bar they were decided on or within, as market-on-close orders decided
   * on earlier data would. @default false
   */
  readonly sameBarClose?: boolean;
  /** Bars kept per instrument, for orders that arrive after their bar. @default 64 */
  readonly barsMax?: number;
  /** Finished orders remembered, so that the same id is not taken twice; 0: none. @default 10000 */
  readonly finishedMax?: number;
  /** Positions kept by an account whose only broker this is. @default positions of the broker's own */
  readonly positions?: BrokerPositions;
  /** Money rules that bind fills in the broker's own positions. @default none */
  readonly money?: AccountMoney | undefined;
};

export type OrderOutcome = "filled" | "cancelled";

/**
 * Why the broker itself cancelled an order, in whole or in part: reduce-only left nothing to reduce, the account's
 * money did not allow it at the price of the fill, or it would have opened a position at a price of 0 or below.
 */
export type BrokerCancelReason =
  | "NOTHING_TO_REDUCE"
  | "REDUCED_TO_BUYING_POWER"
  | "MARK_NOT_POSITIVE";

/** An order that the broker cancelled. */
export interface BrokerCancel {
  readonly id: string;
  readonly reason: BrokerCancelReason;
}

/** State as plain JSON. */
export interface SimulatedBrokerSnapshot {
  readonly version: 3;
  /** Of the broker's own account. */
  readonly cash: number;
  readonly working: readonly SimulatedOrder[];
  readonly finished: readonly (readonly [id: string, outcome: OrderOutcome])[];
  readonly positions: readonly (readonly [key: string, lots: number])[];
  readonly bars: readonly SimulatedBar[];
  readonly cancelled: readonly BrokerCancel[];
  readonly forgotten: readonly (readonly [instrument: string, bucketEndMs: number])[];
}

/**
 * The pure core of the paper broker.
 *
 * Fills depend on when an order was decided, never on when it arrived: whatever its type, it fills no earlier than on
 * the first bar of its instrument that begins then or later. An order that arrives late gets the same fill, as long as
 * the bar is still kept. Orders fill whole, in the order they were accepted. A repeated id is a duplicate.
 */
export class SimulatedBroker {
  readonly costs: TradingCosts;
  readonly #instruments: ReadonlyMap<string, CompiledInstrument>;
  readonly #sameBarClose: boolean;
  readonly #barsMax: number;
  readonly #working = new OrderIndex<SimulatedOrder>();
  readonly #finished: BoundedLog<OrderOutcome> | undefined;
  readonly #own: OwnPositions;
  readonly #positions: BrokerPositions;
  /** By instrument, in the order of their first bars. */
  readonly #histories = new Map<string, BarHistory>();
  /** Those of which a bar is no longer kept, in the order in which that began. */
  readonly #cutHistories: BarHistory[] = [];
  #cancelled: BrokerCancel[] | undefined;

  constructor(options: SimulatedBrokerOptions, snapshot?: SimulatedBrokerSnapshot) {
    this.costs = options.noCosts === true ? NO_COSTS : checkCosts(options.costs);
    const compiled = options.instruments.map((spec) => compileInstrument(spec));
    this.#instruments = new Map(compiled.map((spec) => [spec.symbol, spec]));
    this.#sameBarClose = options.sameBarClose ?? false;
    this.#barsMax = options.barsMax ?? 64;
    const { finishedMax = 10_000 } = options;
    this.#finished = finishedMax === 0 ? undefined : new BoundedLog(finishedMax);
    this.#own = new OwnPositions(this.#instruments, options.money, {
      working: () => this.#working.values(),
      closeBefore: (instrument, timeMs) => this.#closeBefore(instrument, timeMs),
    });
    this.#positions = options.positions ?? this.#own;
    if (snapshot !== undefined) {
      this.#load(structuredClone(snapshot));
    }
  }

  /** Positions that an account keeps are not part of it. */
  snapshot(): SimulatedBrokerSnapshot {
    return structuredClone({
      version: 3,
      cash: this.#own.cash,
      working: this.#working.list(),
      finished: this.#finished?.entries() ?? [],
      positions: [...this.#own.lots],
      bars: [...this.#histories.values()].flatMap(({ bars }) => bars),
      cancelled: this.#cancelled ?? [],
      forgotten: this.#cutHistories.map(({ instrument, cutMs }) => [instrument, cutMs!] as const),
    });
  }

  /** Takes an order. Bars it should have seen already are played to it at once. */
  accept(order: SimulatedOrder): AcceptOutcome {
    if (this.#working.has(order.id) || this.#finished?.has(order.id) === true) {
      return { accepted: true, duplicate: true, fills: NONE };
    }
    if (!this.#isSound(order)) {
      return { accepted: false, reason: "BAD_ORDER" };
    }
    const history = this.#histories.get(order.instrument);
    let lastEndMs = history?.cutMs;
    if (lastEndMs !== undefined && order.bucket < lastEndMs) {
      return { accepted: false, reason: "BUCKET_TOO_OLD" };
    }
    if (order.reduceOnly === true && this.#reducible(order) === 0) {
      return { accepted: false, reason: "REDUCE_ONLY_NOTHING_TO_REDUCE" };
    }
    this.#working.set(order);
    if (history === undefined) return { accepted: true, duplicate: false, fills: NONE };
    let fills: SimulatedFill[] | undefined;
    for (const bar of history.bars) {
      const fill = this.#tryFill(order, bar, lastEndMs);
      if (fill !== undefined) fills = appended(fills, fill);
      lastEndMs = bar.bucketEndMs;
    }
    return { accepted: true, duplicate: false, fills: fills ?? NONE };
  }

  /** Cancels a working order. `finished`: too late, it filled or was cancelled before. `unknown`: never seen. */
  cancel(id: string): "cancelled" | "finished" | "unknown" {
    if (this.#working.delete(id)) {
      this.#finished?.set(id, "cancelled");
      return "cancelled";
    }
    return this.#finished?.has(id) === true ? "finished" : "unknown";
  }

  /** What became of an order, for a router that looks it up; undefined when it never arrived. */
  lookup(id: string): "working" | OrderOutcome | undefined {
    return this.#working.has(id) ? "working" : this.#finished?.get(id);
  }

  /** Plays a bar; one that is not later than the last bar of its instrument does nothing. */
  onBar(bar: SimulatedBar): readonly SimulatedFill[] {
    const history = this.#historyOf(bar.instrument);
    const { bars } = history;
    const lastEndMs = bars[bars.length - 1]?.bucketEndMs;
    if (lastEndMs !== undefined && bar.bucketEndMs <= lastEndMs) return NONE;
    bars.push(bar);
    if (bars.length > this.#barsMax) this.#cut(history, bars.shift()!.bucketEndMs);
    let fills: SimulatedFill[] | undefined;
    for (const order of this.#working.list()) {
      const fill = this.#tryFill(order, bar, lastEndMs);
      if (fill !== undefined) fills = appended(fills, fill);
    }
    return fills ?? NONE;
  }

  /** Cash of the broker's own account: what it began with, less what its fills have cost. */
  get cash(): number {
    return this.#own.cash;
  }

  /** What the books that use the broker's own positions have charged for holding them so far; below 0: received. */
  set financed(cost: number) {
    this.#own.financed = cost;
  }

  /** Orders the broker itself cancelled, in whole or in part, each once. The caller reports them to its router. */
  drainCancelled(): readonly BrokerCancel[] {
    const cancelled = this.#cancelled;
    this.#cancelled = undefined;
    return cancelled ?? NONE;
  }

  /** Net lots held of an instrument over all sub-accounts, of the broker's own positions. */
  netLots(instrument: string): number {
    return this.#own.netLots(instrument);
  }

  /** Lots a sub-account holds. */
  lotsOf(instrument: string, book = ""): number {
    return this.#positions.lotsOf(instrument, book);
  }

  /**
   * Books an internal cross in the broker's own positions: signed lots move into a sub-account without a trade. The
   * caller nets them to 0.
   */
  transfer(instrument: string, book: string, lots: number): void {
    this.#own.move(instrument, book, lots);
  }

  #tryFill(
    order: SimulatedOrder,
    bar: SimulatedBar,
    lastEndMs: number | undefined,
  ): SimulatedFill | undefined {
    const type = order.type ?? "market";
    const atClose = this.#sameBarClose && type === "market";
    if (bar.instrument !== order.instrument || !this.#working.has(order.id)) {
      return undefined;
    }
    if (atClose ? bar.bucketEndMs < order.bucket : !isAfterDecision(order, bar, lastEndMs)) {
      return undefined;
    }
    const instrument = this.#instruments.get(order.instrument)!;
    const raw = atClose ? bar.close : fillPriceOn(order, bar, instrument.tick);
    if (!Number.isFinite(raw)) {
      return undefined;
    }
    const lots = this.#lotsToFill(order, raw, bar);
    this.#working.delete(order.id);
    this.#finished?.set(order.id, lots === 0 ? "cancelled" : "filled");
    if (lots !== order.lots) {
      const cancel = { id: order.id, reason: reasonOfCancel(order, raw) };
      this.#cancelled = appended(this.#cancelled, cancel);
    }
    return lots === 0
      ? undefined
      : this.#book(order, lots, raw, type !== "limit", bar, instrument.lotUnit);
  }

  /** Reduce-only orders fill at any price, down to flat; others open at prices above 0, within the account's money. */
  #lotsToFill(order: SimulatedOrder, raw: number, bar: SimulatedBar): number {
    if (order.reduceOnly === true) return this.#reducible(order);
    if (raw <= 0) return 0;
    const lots = this.#positions.lotsToFill(order, raw, bar);
    return Number.isNaN(lots) ? 0 : lots;
  }

  #closeBefore(instrument: string, timeMs: number): number {
    const bars = this.#histories.get(instrument)?.bars;
    const last = bars?.findLast(
      ({ bucketEndMs, close }) => bucketEndMs < timeMs && !Number.isNaN(close),
    );
    return last?.close ?? Number.NaN;
  }

  #book(
    order: SimulatedOrder,
    lots: number,
    raw: number,
    paysSpread: boolean,
    bar: SimulatedBar,
    lotUnit: number,
  ): SimulatedFill {
    const price = paysSpread ? priceAcrossSpread(raw, lots, this.costs) : raw;
    const fee = feeOf(lots * lotUnit * raw, this.costs);
    const spreadCost = Math.abs(lots * lotUnit * (price - raw));
    const fill = new BrokerFill(order, bar, { lots, price, fee, spreadCost });
    this.#positions.bookFill(fill);
    return fill;
  }

  /** The part of an order that reduces its sub-account's position. */
  #reducible(order: SimulatedOrder): number {
    const held = this.lotsOf(order.instrument, order.book ?? "");
    if (held === 0 || held > 0 === order.lots > 0) {
      return 0;
    }
    return Math.abs(order.lots) <= Math.abs(held) ? order.lots : -held;
  }

  #isSound(order: SimulatedOrder): boolean {
    const price =
      order.type === "limit" ? order.limitPrice : order.type === "stop" ? order.stopPrice : 1;
    return (
      this.#instruments.has(order.instrument) &&
      Number.isFinite(order.lots) &&
      Number.isInteger(order.lots) &&
      order.lots !== 0 &&
      Number.isFinite(order.bucket) &&
      price !== undefined &&
      price > 0
    );
  }

  #load(snapshot: SimulatedBrokerSnapshot): void {
    this.#cancelled = [...snapshot.cancelled];
    this.#own.cash = snapshot.cash;
    for (const order of snapshot.working) {
      this.#working.set(order);
    }
    for (const [id, outcome] of snapshot.finished) {
      this.#finished?.set(id, outcome);
    }
    for (const [key, lots] of snapshot.positions) {
      this.#own.lots.set(key, lots);
    }
    for (const bar of snapshot.bars) this.#historyOf(bar.instrument).bars.push(bar);
    for (const [instrument, endMs] of snapshot.forgotten) {
      this.#cut(this.#historyOf(instrument), endMs);
    }
  }

  #historyOf(instrument: string): BarHistory {
    let history = this.#histories.get(instrument);
    if (history === undefined) {
      history = { instrument, bars: [], cutMs: undefined };
      this.#histories.set(instrument, history);
    }
    return history;
  }

  #cut(history: BarHistory, endMs: number): void {
    if (history.cutMs === undefined) this.#cutHistories.push(history);
    history.cutMs = endMs;
  }
}

/** The bars kept of an instrument. */
interface BarHistory {
  readonly instrument: string;
  readonly bars: SimulatedBar[];
  /** End of the latest bar no longer kept; undefined while all are. */
  cutMs: number | undefined;
}

const NONE: readonly never[] = [];

function reasonOfCancel(order: SimulatedOrder, raw: number): BrokerCancelReason {
  if (order.reduceOnly === true) return "NOTHING_TO_REDUCE";
  return raw <= 0 ? "MARK_NOT_POSITIVE" : "REDUCED_TO_BUYING_POWER";
}
