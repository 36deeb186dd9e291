import type { BrokerPositions } from "./broker-positions.ts";
import type { LedgerBook, Mark } from "./ledger-book.ts";
import type { OfflineBooking } from "./offline-booking.ts";
import type { OfflineInstrument } from "./offline-records.ts";
import type { TargetInput } from "./router-options.ts";
import type { BookId } from "./router-order.ts";
import { SimulatedBroker } from "./simulated-broker.ts";
import type { SimulatedFill, SimulatedOrder } from "./simulated-order.ts";

/** Finished orders are not remembered, since offline nothing comes late or twice. */
const BROKER_MEMORY = { barsMax: 2, finishedMax: 0 } as const;

/** An instrument of an offline account: its broker, whose positions are those of its book, and its state between bars. */
export class OfflineLine implements BrokerPositions {
  readonly id: BookId;
  // Numbers begin as numbers, else each is an object to the compiler.
  readonly lotUnit: number = 0;
  readonly drift: number = 0;
  readonly sameBarClose: boolean;
  readonly broker: SimulatedBroker;
  /** The ledger's own mark. */
  readonly mark: Mark;
  /** The mark at the last bucket end. */
  settledMark = Number.NaN;
  /** The ledger's own book; undefined before the first target. */
  book: LedgerBook | undefined;
  target = 0;
  sizedRow = -1;
  /** Number of orders at the broker. */
  working = 0;
  spreadCosts = 0;
  readonly #notionalMin: number;
  readonly #booking: OfflineBooking;

  constructor(instrument: OfflineInstrument, id: BookId, mark: Mark, booking: OfflineBooking) {
    this.id = id;
    this.lotUnit = Number(instrument.lotSize) * (instrument.multiplier ?? 1);
    this.drift = instrument.drift ?? 0;
    this.sameBarClose = instrument.sameBarClose ?? false;
    this.mark = mark;
    this.#notionalMin = instrument.notionalMin ?? 0;
    this.#booking = booking;
    this.broker = new SimulatedBroker({
      ...{ ...instrument, ...BROKER_MEMORY },
      instruments: [instrument],
      positions: this,
    });
  }

  /** Signed lots held. */
  lotsOf(): number {
    return this.book === undefined ? 0 : this.book.quantity;
  }

  /** Value of what is held at the mark, signed; 0 while nothing is. */
  get value(): number {
    const { book } = this;
    if (book === undefined || book.quantity === 0) return 0;
    return book.quantity * this.lotUnit * this.mark.price;
  }

  bookFill(fill: SimulatedFill): void {
    this.#booking.book(this, fill);
  }

  /** At the close that it was sized at, an order has been checked already. */
  lotsToFill({ lots }: SimulatedOrder, price: number): number {
    return this.sameBarClose ? lots : this.#booking.lotsToFill(this, lots, price);
  }

  /**
   * A target as the router takes it: always of one shape, which is what makes it quick.
   *
   * @param sizedRow NaN for none
   */
  targetInput(
    row: number,
    value: number,
    sizedRow: number,
    resize: boolean,
    capital: number,
  ): TargetInput {
    const { id, mark, drift } = this;
    return {
      world: id.world,
      strategy: id.strategy,
      instrument: id.instrument,
      value,
      bucket: row,
      mark: mark.price,
      notionalMin: this.#notionalMin,
      drift,
      resize,
      capital,
      sizedRow: Number.isNaN(sizedRow) ? undefined : sizedRow,
    };
  }
}
