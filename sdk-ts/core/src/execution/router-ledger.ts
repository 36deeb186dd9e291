import type { AccountMoney } from "./account-money.ts";
import type { Financed } from "./financing.ts";
import type { CompiledInstrument } from "./instrument-spec.ts";
import { type BookPlaces, LedgerBook, type Mark } from "./ledger-book.ts";
import { applyTrade } from "./position.ts";
import type { PretradeLimits } from "./pretrade.ts";
import type { BookId } from "./router-order.ts";
import type { Book, StrategyAccount } from "./router-state.ts";

/** An instrument that the router was not configured with. */
export class UnknownInstrument extends RangeError {
  override readonly name = "UnknownInstrument";
  readonly symbol: string;

  constructor(symbol: string) {
    super(`instrument ${symbol} is not configured for this account`);
    this.symbol = symbol;
  }
}

/** Marks of an account's instruments, in the order in which the first of each came. */
class Marks implements Iterable<readonly [instrument: string, price: number]> {
  readonly #marks = new Map<string, Mark>();

  /** The mark of an instrument, for a caller that reads and writes it bar by bar. */
  of(instrument: string): Mark {
    const found = this.#marks.get(instrument);
    if (found !== undefined) return found;
    const mark = { price: Number.NaN };
    this.#marks.set(instrument, mark);
    return mark;
  }

  find(instrument: string): Mark | undefined {
    return this.#marks.get(instrument);
  }

  /** Undefined before the first price. */
  get(instrument: string): number | undefined {
    const price = this.#marks.get(instrument)?.price ?? Number.NaN;
    return Number.isNaN(price) ? undefined : price;
  }

  set(instrument: string, price: number): void {
    this.of(instrument).price = price;
  }

  *[Symbol.iterator](): Generator<readonly [instrument: string, price: number]> {
    for (const [instrument, { price }] of this.#marks) {
      if (!Number.isNaN(price)) yield [instrument, price];
    }
  }
}

/** A strategy's capital and return at a mark of what it trades. */
export interface SealedReturn {
  readonly world: string;
  readonly strategy: string;
  /** End of the bucket of the mark. */
  readonly bucket: number;
  /** Capital at the seal: base + own P&L since, after costs. */
  readonly capital: number;
  /** Own P&L ÷ capital at the previous seal, −1 if nothing was left; absent where a series begins, and after its ruin. */
  readonly return?: number;
  /** Whether any position was held at the seal. */
  readonly exposed: boolean;
}

/**
 * The money side of the router: books, strategy accounts, marks, cash, limits and money rules of the account. Knows no
 * orders. Keys carry the lengths of their parts, so no choice of names collides.
 */
export class RouterLedger implements BookPlaces {
  /** Begins as a number, else each store makes an object of it. */
  accountCash = 0;
  limits: PretradeLimits;
  /** Undefined: no rule binds, as in journals that do not state any. */
  money: AccountMoney | undefined;
  /** What holding positions has cost so far. */
  readonly financed: Financed = { interest: 0, borrowFees: 0, funding: 0 };
  /** Last midnight that was charged, epoch milliseconds; −∞ before the first. */
  financedMs = Number.NEGATIVE_INFINITY;
  readonly marks = new Marks();
  readonly strategies = new Map<string, StrategyAccount>();
  readonly books = new Map<string, LedgerBook>();
  /** All books by instrument, world and strategy: sums do not depend on which of them was traded first. */
  readonly #byName: LedgerBook[] = [];
  /** Accounts and books by world and strategy: a lookup builds no key. */
  readonly #lines = new Map<string, Map<string, Line>>();
  readonly #instruments: ReadonlyMap<string, CompiledInstrument>;

  constructor(
    instruments: ReadonlyMap<string, CompiledInstrument>,
    accountCash: number,
    limits: PretradeLimits,
    money?: AccountMoney,
  ) {
    this.#instruments = instruments;
    this.accountCash = accountCash;
    this.limits = limits;
    this.money = money;
  }

  /** @throws {UnknownInstrument} for one the router was not configured with. */
  instrument(symbol: string): CompiledInstrument {
    const found = this.#instruments.get(symbol);
    if (found === undefined) {
      throw new UnknownInstrument(symbol);
    }
    return found;
  }

  knows(symbol: string): boolean {
    return this.#instruments.has(symbol);
  }

  strategy(world: string, strategy: string): StrategyAccount | undefined {
    return this.#lines.get(world)?.get(strategy)?.account;
  }

  strategyOrNew(world: string, strategy: string): StrategyAccount {
    const line = this.#line(world, strategy);
    if (line.account === undefined) {
      const money = { share: 0, capitalBase: 0, cash: 0, sealedCapital: null, demoted: null };
      line.account = { world, strategy, ...money };
      this.strategies.set(strategyKey(world, strategy), line.account);
    }
    return line.account;
  }

  findBook({ world, strategy, instrument }: BookId): LedgerBook | undefined {
    return this.#lines.get(world)?.get(strategy)?.books.get(instrument);
  }

  book(id: BookId): LedgerBook {
    const found = this.findBook(id);
    if (found !== undefined) {
      return found;
    }
    this.instrument(id.instrument);
    return this.#add(new LedgerBook(id, this));
  }

  /** Continues with a book of a snapshot. */
  load(saved: Book): void {
    this.#add(Object.assign(new LedgerBook(saved, this), saved));
  }

  #add(book: LedgerBook): LedgerBook {
    this.books.set(bookKey(book), book);
    const after = this.#byName.findIndex((other) => isBefore(book, other));
    this.#byName.splice(after < 0 ? this.#byName.length : after, 0, book);
    const { books, list } = this.#line(book.world, book.strategy);
    books.set(book.instrument, book);
    const next = list.findIndex((other) => isBefore(book, other));
    list.splice(next < 0 ? list.length : next, 0, book);
    return book;
  }

  /** All books by instrument, world and strategy. */
  get booksByName(): readonly LedgerBook[] {
    return this.#byName;
  }

  /** By instrument. Of a strategy that has an account the list goes on with its books. */
  booksOf(world: string, strategy: string): readonly LedgerBook[] {
    return this.#lines.get(world)?.get(strategy)?.list ?? [];
  }

  /** Books signed lots at a price into a book, its strategy's cash and, unless internal, the account's cash. */
  trade(book: LedgerBook, lots: number, price: number, fee: number, internal: boolean): void {
    const { lotUnit } = book.spec;
    book.realisedPnl += applyTrade(book, lots, price) * lotUnit;
    book.fees += fee;
    const money = lots * lotUnit * price + fee;
    const account = book.account ?? this.strategyOrNew(book.world, book.strategy);
    account.cash -= money;
    if (!internal) {
      this.accountCash -= money;
    }
  }

  /** Market value of a book at the last mark; at its average cost before the first mark. */
  marketValue(book: LedgerBook, mark = lastPrice(book)): number {
    if (book.quantity === 0) {
      return 0;
    }
    return book.quantity * book.spec.lotUnit * mark;
  }

  /** Market value of one lot of a book's instrument at the last mark; at the book's average cost before the first mark. */
  valueOfLot(book: LedgerBook): number {
    return book.spec.lotUnit * lastPrice(book);
  }

  /**
   * Capital of a strategy now: base + own P&L since.
   *
   * @param markAt mark of an instrument; undefined for the last one. @default the last ones
   * @param books its books, for a caller that has them at hand
   */
  capital(
    account: StrategyAccount,
    markAt?: (instrument: string) => number | undefined,
    books = this.booksOf(account.world, account.strategy),
  ): number {
    let value = account.cash;
    for (const book of books) {
      value += this.marketValue(book, markAt?.(book.instrument));
    }
    return value;
  }

  /** Account cash plus the market value of every book. */
  equity(): number {
    let value = this.accountCash;
    for (const book of this.#byName) {
      value += this.marketValue(book);
    }
    return value;
  }

  /** Sets the capital to `base` now. A change of capital is no return, so the return series continues unaffected. */
  allocate(account: StrategyAccount, share: number, base: number, beginsStage: boolean): void {
    const before = this.capital(account);
    account.share = share;
    account.capitalBase = base;
    account.cash += base - before;
    if (beginsStage) {
      account.sealedCapital = null;
      delete account.sealedMs;
      account.demoted = null;
    } else if (account.sealedCapital !== null) {
      account.sealedCapital += base - before;
    }
  }

  /** The series of a stage counts from the capital of now. */
  beginSeries(account: StrategyAccount): void {
    account.sealedCapital = this.capital(account);
  }

  /**
   * Seals the return since the seal before, or since the stage began. A stage that has neither traded nor paid at its
   * first mark has no return there: its series begins at that mark, as the series of a backtest does.
   */
  seal(account: StrategyAccount, bucket: number): SealedReturn {
    const { world, strategy, sealedCapital: previous, sealedMs } = account;
    const capital = this.capital(account);
    const exposed = this.booksOf(world, strategy).some((book) => book.quantity !== 0);
    const begins = sealedMs === undefined && !exposed && capital === previous;
    account.sealedCapital = capital;
    account.sealedMs = bucket;
    const sealed = { world, strategy, bucket, capital, exposed };
    if (begins || previous === null || !(previous > 0)) return sealed;
    return { ...sealed, return: Math.max(-1, capital / previous - 1) };
  }

  /** Whether a strategy declares one of these instruments as a target, or has a target or a position in one. */
  trades({ world, strategy, instruments }: StrategyAccount, any: ReadonlySet<string>): boolean {
    return (
      instruments?.some((one) => any.has(one)) === true ||
      this.booksOf(world, strategy).some(
        (book) => (book.quantity !== 0 || book.target !== null) && any.has(book.instrument),
      )
    );
  }

  #line(world: string, strategy: string): Line {
    let ofWorld = this.#lines.get(world);
    if (ofWorld === undefined) {
      ofWorld = new Map();
      this.#lines.set(world, ofWorld);
    }
    let line = ofWorld.get(strategy);
    if (line === undefined) {
      line = { account: undefined, books: new Map(), list: [] };
      ofWorld.set(strategy, line);
    }
    return line;
  }
}

/** Last price of a book's instrument; its average cost before the first. */
function lastPrice(book: LedgerBook): number {
  const { mark } = book;
  return Number.isNaN(mark) ? book.averageCost : mark;
}

function isBefore(a: BookId, b: BookId): boolean {
  if (a.instrument !== b.instrument) return a.instrument < b.instrument;
  if (a.world !== b.world) return a.world < b.world;
  return a.strategy < b.strategy;
}

/** Account and books of one strategy in one world. */
interface Line {
  account: StrategyAccount | undefined;
  readonly books: Map<string, LedgerBook>;
  /** By instrument, so that its capital does not depend on which of them was traded first. */
  readonly list: LedgerBook[];
}

function bookKey(id: BookId): string {
  return `${strategyKey(id.world, id.strategy)}${id.instrument}`;
}

function strategyKey(world: string, strategy: string): string {
  return `${world.length}:${world}${strategy.length}:${strategy}:`;
}
