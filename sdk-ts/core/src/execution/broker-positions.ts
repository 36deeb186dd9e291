import { type AccountMoney, FILL_SLACK, lotsWithinPower } from "./account-money.ts";
import type { CompiledInstrument } from "./instrument-spec.ts";
import type { SimulatedBar, SimulatedFill, SimulatedOrder } from "./simulated-order.ts";

/** Positions and money that a simulated broker trades for: its own, or those of an account whose only broker it is. */
export interface BrokerPositions {
  /** Signed lots that a sub-account holds of an instrument. */
  lotsOf(instrument: string, book: string): number;
  /** Books a fill the moment it is made: the next order is filled against what is held then. */
  bookFill(fill: SimulatedFill): void;
  /** The part of an opening order's lots that the account's money lets fill at a price; 0 for none. */
  lotsToFill(order: SimulatedOrder, price: number, bar: SimulatedBar): number;
}

/** What a broker's own positions look up in it. */
export interface BrokerBooks {
  working(): Iterable<SimulatedOrder>;
  /** Last close of an instrument among its bars that ended before a time; NaN without one. */
  closeBefore(instrument: string, timeMs: number): number;
}

/** A broker's own record of positions, by instrument and sub-account, and of cash. */
export class OwnPositions implements BrokerPositions {
  readonly lots = new Map<string, number>();
  cash = 0;
  /** What the books have charged for holding positions so far; the broker's cash knows nothing of it. */
  financed = 0;
  readonly #instruments: ReadonlyMap<string, CompiledInstrument>;
  readonly #money: AccountMoney | undefined;
  readonly #books: BrokerBooks;
  /** Each key is made once: a string that is built anew is hashed anew. */
  readonly #keys = new Map<string, Map<string, string>>();

  constructor(
    instruments: ReadonlyMap<string, CompiledInstrument>,
    money: AccountMoney | undefined,
    books: BrokerBooks,
  ) {
    this.#instruments = instruments;
    this.#money = money;
    this.#books = books;
  }

  lotsOf(instrument: string, book: string): number {
    return this.lots.get(this.#keyOf(instrument, book)) ?? 0;
  }

  bookFill({ instrument, book, lots, price, fee }: SimulatedFill): void {
    this.move(instrument, book, lots);
    this.cash -= lots * this.#instruments.get(instrument)!.lotUnit * price + fee;
  }

  lotsToFill(order: SimulatedOrder, price: number, bar: SimulatedBar): number {
    if (this.#money === undefined) return order.lots;
    const { instrument, lots } = order;
    const net = new Map<string, number>();
    const { bucketEndMs } = bar;
    let equity = this.cash - this.financed;
    for (const symbol of this.#instruments.keys()) {
      const held = this.netLots(symbol);
      if (held === 0) continue;
      net.set(symbol, held);
      equity += held * this.#valueOf(symbol, instrument, price, bucketEndMs);
    }
    for (const other of this.#books.working()) {
      if (other.id === order.id) continue;
      net.set(other.instrument, (net.get(other.instrument) ?? 0) + other.lots);
    }
    let otherGross = 0;
    for (const [symbol, held] of net) {
      if (symbol === instrument || held === 0) continue;
      otherGross += Math.abs(held * this.#valueOf(symbol, instrument, price, bucketEndMs));
    }
    const lotValue = Math.abs(this.#valueOf(instrument, instrument, price, bucketEndMs));
    const exposure = { equity, otherGross, netLots: net.get(instrument) ?? 0, lotValue };
    return lotsWithinPower(this.#money, instrument, lots, exposure, FILL_SLACK);
  }

  move(instrument: string, book: string, lots: number): void {
    const key = this.#keyOf(instrument, book);
    this.lots.set(key, (this.lots.get(key) ?? 0) + lots);
  }

  netLots(instrument: string): number {
    const prefix = positionPrefix(instrument);
    let net = 0;
    for (const [key, lots] of this.lots) net += key.startsWith(prefix) ? lots : 0;
    return net;
  }

  #valueOf(symbol: string, traded: string, price: number, timeMs: number): number {
    const { lotUnit } = this.#instruments.get(symbol)!;
    return lotUnit * (symbol === traded ? price : this.#books.closeBefore(symbol, timeMs));
  }

  /** The key carries the length of the instrument's name, so that no choice of names makes two keys alike. */
  #keyOf(instrument: string, book: string): string {
    let ofInstrument = this.#keys.get(instrument);
    if (ofInstrument === undefined) {
      ofInstrument = new Map();
      this.#keys.set(instrument, ofInstrument);
    }
    let key = ofInstrument.get(book);
    if (key === undefined) {
      key = `${positionPrefix(instrument)}${book}`;
      ofInstrument.set(book, key);
    }
    return key;
  }
}

/** What all keys of an instrument begin with. */
function positionPrefix(instrument: string): string {
  return `${instrument.length}:${instrument}`;
}
