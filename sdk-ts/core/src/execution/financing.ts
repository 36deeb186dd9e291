import type { RouterLedger } from "./router-ledger.ts";

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
export function chargeDay(ledger: RouterLedger, terms: FinancingTerms): Financed {
  const { accountCash } = ledger;
  const charged: Financed = { interest: dayInterest(terms, accountCash), borrowFees: 0 };
  ledger.accountCash -= charged.interest;
  for (const account of ledger.strategies.values()) {
    account.cash -= dayInterest(terms, account.cash, accountCash);
  }
  const { financed, booksByName: books } = ledger;
  for (let from = 0, to = 0; from < books.length; from = to) {
    const { instrument } = books[from]!;
    let lots = 0;
    for (to = from; to < books.length && books[to]!.instrument === instrument; to++) {
      lots += books[to]!.quantity;
    }
    const lotValue = ledger.valueOfLot(books[from]!);
    if (terms.borrowRate === 0 || lots >= 0 || !(lotValue > 0)) continue;
    const fee = dayBorrowFee(terms, -lots * lotValue);
    ledger.accountCash -= fee;
    charged.borrowFees += fee;
    for (let at = from; at < to; at++) {
      const book = books[at]!;
      if (book.quantity === 0) continue;
      const part = dayBorrowFee(terms, -book.quantity * lotValue);
      book.borrowFees = (book.borrowFees ?? 0) + part;
      const account = ledger.strategy(book.world, book.strategy);
      if (account !== undefined) account.cash -= part;
    }
  }
  financed.interest += charged.interest;
  financed.borrowFees += charged.borrowFees;
  return charged;
}
