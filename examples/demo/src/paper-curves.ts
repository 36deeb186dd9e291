/** One entry of the router's journal as `qmtl journal --json` prints it. */
export interface JournalLine {
  readonly kind: string;
  readonly strategy_id: string;
  readonly row: string;
  readonly body_json: string;
}

/** A fill as the report shows it. */
export interface PaperFill {
  readonly timeMs: number;
  readonly strategyId: string;
  readonly quantity: number;
  readonly price: number;
  readonly fee: number;
  readonly origin: string;
}

/** Value of one unit of a strategy's capital over time; changes of capital by allocation are not a return. */
export interface PaperCurve {
  readonly timesMs: number[];
  readonly equity: number[];
}

interface Book {
  base: number;
  pnl: number;
  lots: number;
  index: number;
  readonly curve: PaperCurve;
}

interface Body {
  readonly bucket?: number;
  readonly input?: { readonly equity?: number; readonly share?: number };
  readonly fill?: { readonly lots: number; readonly price: number; readonly fee: number };
  readonly cross?: {
    readonly lots: number;
    readonly price: number;
    readonly buyer: { readonly strategy: string };
    readonly seller: { readonly strategy: string };
  };
  readonly marks?: readonly { readonly close: number }[];
}

const LOT = 0.1;

/** Rebuilds each strategy's curve and the fills from the journal alone: the journal is enough. */
export class PaperCurves {
  readonly #books = new Map<string, Book>();
  readonly fills: PaperFill[] = [];
  #mark = Number.NaN;
  #timeMs = 0;

  constructor(journal: readonly JournalLine[]) {
    for (const line of journal) this.#take(line, JSON.parse(line.body_json) as Body);
  }

  curveOf(strategyId: string): PaperCurve {
    return this.#books.get(strategyId)?.curve ?? { timesMs: [], equity: [] };
  }

  /** Quantity and mark a strategy ended with. */
  holdingOf(strategyId: string): { quantity: number; mark: number } {
    return { quantity: (this.#books.get(strategyId)?.lots ?? 0) * LOT, mark: this.#mark };
  }

  #take({ kind, strategy_id: id }: JournalLine, body: Body): void {
    if ((kind === "capital" || kind === "allocation") && id !== "") this.#allocate(id, body);
    else if (kind === "fill" && body.fill)
      this.#trade(id, body.fill.lots, body.fill.price, body.fill.fee, "order");
    else if (kind === "cross" && body.cross) {
      const { buyer, seller, lots, price } = body.cross;
      this.#trade(buyer.strategy, lots, price, 0, "cross");
      this.#trade(seller.strategy, -lots, price, 0, "cross");
    } else if (kind === "bar") this.#seal(body);
  }

  #allocate(id: string, { input }: Body): void {
    const { equity = 0, share = 0 } = input ?? {};
    const known = this.#books.get(id);
    if (known) Object.assign(known, { base: equity * share - known.pnl });
    else {
      const curve = { timesMs: [this.#timeMs], equity: [1] };
      this.#books.set(id, { base: equity * share, pnl: 0, lots: 0, index: 1, curve });
    }
  }

  /** P&L of a trade against the last mark; the holding itself is marked when the bar is sealed. */
  #trade(id: string, lots: number, price: number, fee: number, origin: string): void {
    const book = this.#books.get(id);
    if (!book) return;
    const gain = lots * LOT * (this.#mark - price) - fee;
    this.#earn(book, gain);
    book.lots += lots;
    this.fills.push({
      timeMs: this.#timeMs,
      strategyId: id,
      quantity: lots * LOT,
      price,
      fee,
      origin,
    });
  }

  #seal({ bucket = 0, marks = [] }: Body): void {
    const close = marks[0]?.close ?? this.#mark;
    for (const book of this.#books.values()) {
      this.#earn(book, book.lots * LOT * (close - this.#mark) || 0);
      book.curve.timesMs.push(bucket);
      book.curve.equity.push(book.index);
    }
    this.#mark = close;
    this.#timeMs = bucket;
  }

  #earn(book: Book, gain: number): void {
    const capital = book.base + book.pnl;
    if (capital > 0) book.index *= 1 + gain / capital;
    book.pnl += gain;
  }
}
