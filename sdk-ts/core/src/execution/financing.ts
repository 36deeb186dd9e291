import type { RouterLedger } from "./router-ledger.ts";
import type { Book } from "./router-state.ts";

/** What holding cash and short positions costs an account. Rates are fractions a year: 0.06 is 6 %. */
export interface FinancingTerms {
  /** Received on cash above 0. */
  readonly cashRate: number;
  /** Paid on cash below 0. */
  readonly debitRate: number;
  /** Paid on the value of what is sold short. */
  readonly borrowRate: number;
  /** Days of a year that a rate is divided by. */
  readonly dayCount: 360 | 365;
  /** IANA name of the zone whose calendar days are charged. */
  readonly zone: string;
}

/** Rates of a run or of a configuration; those that are absent are 0. */
export type FinancingRates = { readonly [Key in keyof FinancingTerms]?: FinancingTerms[Key] };

/** What holding positions has cost, in account currency; below 0: received. */
export interface Financed {
  /** On cash: paid on debit, less what was received on credit. */
  interest: number;
  /** For what is sold short. */
  borrowFees: number;
  /** Funding of perpetual futures. */
  funding: number;
}

/** What an instrument's funding costs at one row of its source, as a fraction of the value held: 0.0001 is 1 bp. */
export interface FundingRate {
  readonly instrument: string;
  /** Above 0: longs pay, shorts receive. NaN: not known, and nothing is charged. */
  readonly rate: number;
}

/** The terms of rates; undefined where every rate is 0, so that nothing is ever charged. */
export function financingOf(rates: FinancingRates): FinancingTerms | undefined {
  const { cashRate = 0, debitRate = 0, borrowRate = 0, dayCount = 360, zone = "UTC" } = rates;
  if (cashRate === 0 && debitRate === 0 && borrowRate === 0) return undefined;
  return { cashRate, debitRate, borrowRate, dayCount, zone };
}

/** Interest on cash for one day, paid; below 0: received. `accountCash` decides which rate holds. */
export function dayInterest(
  { cashRate, debitRate, dayCount }: FinancingTerms,
  cash: number,
  accountCash = cash,
): number {
  return (-cash * (accountCash < 0 ? debitRate : cashRate)) / dayCount;
}

/** Fee for one day for a short position that is worth `value`. */
export function dayBorrowFee({ borrowRate, dayCount }: FinancingTerms, value: number): number {
  return (value * borrowRate) / dayCount;
}

/**
 * Charges one calendar day on what a ledger holds: interest on the account's cash, and a fee on the value of each
 * instrument that the account is short of, all books together, at its mark.
 *
 * Each strategy bears its part: its own cash at the rate that the account's cash has, and its own lots of an
 * instrument that the account is short of. So the parts add up to what the account pays, and one whose cash or long
 * lots spare the account a cost is paid for them. Instruments are taken in the order of their names.
 */
export function chargeDay(
  ledger: RouterLedger,
  terms: FinancingTerms,
): Pick<Financed, "interest" | "borrowFees"> {
  const { accountCash, financed } = ledger;
  const charged = { interest: dayInterest(terms, accountCash), borrowFees: 0 };
  ledger.accountCash -= charged.interest;
  for (const account of ledger.strategies.values()) {
    account.cash -= dayInterest(terms, account.cash, accountCash);
  }
  for (const { lots, lotValue, books } of holdings(ledger)) {
    if (terms.borrowRate === 0 || lots >= 0 || !(lotValue > 0)) continue;
    const fee = dayBorrowFee(terms, -lots * lotValue);
    ledger.accountCash -= fee;
    charged.borrowFees += fee;
    for (const book of books) {
      const part = dayBorrowFee(terms, -book.quantity * lotValue);
      book.borrowFees = (book.borrowFees ?? 0) + part;
      pay(ledger, book, part);
    }
  }
  financed.interest += charged.interest;
  financed.borrowFees += charged.borrowFees;
  return charged;
}

/**
 * Charges funding on what a ledger holds: lots × value of a lot at the instrument's mark × rate. Each strategy bears its
 * own lots, so that one that is short receives what another that is as long pays, and the parts add up to what the
 * account pays. Instruments are taken in the order of their names, whatever the order of the rates.
 */
export function chargeFunding(
  ledger: RouterLedger,
  rates: readonly FundingRate[],
): Pick<Financed, "funding"> {
  const charged = { funding: 0 };
  const rateOf = new Map(rates.map(({ instrument, rate }) => [instrument, rate]));
  for (const { instrument, lots, lotValue, books } of holdings(ledger)) {
    const rate = rateOf.get(instrument) ?? Number.NaN;
    if (Number.isNaN(rate)) continue;
    const cost = lots * lotValue * rate;
    ledger.accountCash -= cost;
    charged.funding += cost;
    for (const book of books) {
      const part = book.quantity * lotValue * rate;
      book.funding = (book.funding ?? 0) + part;
      pay(ledger, book, part);
    }
  }
  ledger.financed.funding += charged.funding;
  return charged;
}

/** What an account holds of one instrument. */
interface Holding {
  readonly instrument: string;
  /** Signed lots of all books together. */
  readonly lots: number;
  /** Value of a lot at the mark. */
  readonly lotValue: number;
  /** Those that hold any. */
  readonly books: readonly Book[];
}

/** What a ledger holds, in the order of the instruments' names. */
function* holdings(ledger: RouterLedger): Generator<Holding> {
  const all = ledger.booksByName;
  for (let from = 0, to = 0; from < all.length; from = to) {
    const { instrument } = all[from]!;
    let lots = 0;
    const books: Book[] = [];
    for (to = from; to < all.length && all[to]!.instrument === instrument; to++) {
      const book = all[to]!;
      lots += book.quantity;
      if (book.quantity !== 0) books.push(book);
    }
    if (books.length > 0)
      yield { instrument, lots, lotValue: ledger.valueOfLot(all[from]!), books };
  }
}

/** Takes its part of a cost from the money of a book's strategy. */
function pay(ledger: RouterLedger, { world, strategy }: Book, part: number): void {
  const account = ledger.strategy(world, strategy);
  if (account !== undefined) account.cash -= part;
}
