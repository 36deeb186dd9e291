import type { CompiledInstrument } from "./instrument-spec.ts";
import type { BookId, RouterOrder } from "./router-order.ts";
import type { Book, BookTarget, StrategyAccount } from "./router-state.ts";

/** Last price of an instrument; NaN before the first. */
export interface Mark {
  price: number;
}

/** What a book looks up in its ledger, once each. */
export interface BookPlaces {
  /** @throws {UnknownInstrument} for one that is not configured. */
  instrument(symbol: string): CompiledInstrument;
  readonly marks: {
    /** Undefined before the instrument's first mark. */
    find(instrument: string): Mark | undefined;
    /** The mark of an instrument, which is made if there is none. */
    of(instrument: string): Mark;
  };
  /** Undefined before the strategy's first allocation or trade. */
  strategy(world: string, strategy: string): StrategyAccount | undefined;
}

/**
 * A book of the ledger. Its own fields are those of {@link Book}, so that a copy by spread is its plain record. What its
 * names stand for is kept beside them, so that an order or a fill looks nothing up by name.
 */
export class LedgerBook implements Book {
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  quantity = 0;
  averageCost = 0;
  realisedPnl = 0;
  fees = 0;
  target: BookTarget | null = null;
  orderBucket = -1;
  orderCount = 0;
  declare borrowFees?: number;
  declare funding?: number;
  readonly #places: BookPlaces;
  readonly #working: RouterOrder[] = [];
  #spec: CompiledInstrument | undefined;
  #mark: Mark | undefined;
  #account: StrategyAccount | undefined;

  constructor({ world, strategy, instrument }: BookId, places: BookPlaces) {
    this.world = world;
    this.strategy = strategy;
    this.instrument = instrument;
    this.#places = places;
  }

  /** @throws {UnknownInstrument} for one that is no longer configured. */
  get spec(): CompiledInstrument {
    this.#spec ??= this.#places.instrument(this.instrument);
    return this.#spec;
  }

  /** Orders that are not final, in the order in which they were made; {@link RouterOrders} keeps them. */
  get working(): RouterOrder[] {
    return this.#working;
  }

  /** Last price of its instrument; NaN before the first. */
  get mark(): number {
    this.#mark ??= this.#places.marks.find(this.instrument);
    return this.#mark === undefined ? Number.NaN : this.#mark.price;
  }

  set mark(price: number) {
    this.#mark ??= this.#places.marks.of(this.instrument);
    this.#mark.price = price;
  }

  /** Money of its strategy; undefined before the first allocation or trade. */
  get account(): StrategyAccount | undefined {
    this.#account ??= this.#places.strategy(this.world, this.strategy);
    return this.#account;
  }
}
