import { type Book, quantityFromLots } from "@qmtl/core/execution";
import type { AccountRouter } from "./account-router.ts";

/** A line of an account's positions. Quantities are decimal text, money is account currency. */
export interface PositionView {
  readonly account: string;
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  readonly quantity: string;
  readonly averageCost: number;
  readonly mark: number | undefined;
  readonly realisedPnl: number;
  readonly costs: number;
  readonly borrowFees: number;
  readonly funding: number;
  readonly capital: number | undefined;
  readonly target: number | undefined;
  readonly brokerQuantity: string | undefined;
}

/** A row per strategy and instrument, then one per instrument with what the broker reports. */
export async function viewPositions(router: AccountRouter, world: string): Promise<PositionView[]> {
  const { core, account } = router;
  const lotOf = new Map(router.deps.settings.instruments.map((one) => [one.symbol, one.lotSize]));
  const text = (instrument: string, lots: number): string =>
    quantityFromLots(lots, lotOf.get(instrument) ?? "1");
  const own = core.books().filter((book) => world === "" || book.world === world);
  const lines = own.map((book): PositionView => {
    const { instrument } = book;
    return {
      account,
      world: book.world,
      strategy: book.strategy,
      instrument,
      quantity: text(instrument, book.quantity),
      averageCost: book.averageCost,
      mark: core.mark(instrument),
      realisedPnl: realisedOf(book),
      costs: book.fees,
      borrowFees: book.borrowFees ?? 0,
      funding: book.funding ?? 0,
      capital: core.capital(book.world, book.strategy),
      target: book.target?.value,
      brokerQuantity: undefined,
    };
  });
  if (world !== "") return lines;
  const atBroker = await router.deps.broker.positions();
  const totals = [...atBroker].map(([instrument, lots]): PositionView => {
    const books = core.books().filter((book) => book.instrument === instrument);
    const sum = (of: (book: (typeof books)[number]) => number): number =>
      books.reduce((total, book) => total + of(book), 0);
    return {
      account,
      world: "",
      strategy: "",
      instrument,
      quantity: text(
        instrument,
        sum((book) => book.quantity),
      ),
      averageCost: 0,
      mark: core.mark(instrument),
      realisedPnl: sum(realisedOf),
      costs: sum((book) => book.fees),
      borrowFees: sum((book) => book.borrowFees ?? 0),
      funding: sum((book) => book.funding ?? 0),
      capital: undefined,
      target: undefined,
      brokerQuantity: text(instrument, lots),
    };
  });
  return [...lines, ...totals];
}

/** What a book has earned for good, after what trading and holding it has cost. */
function realisedOf({ realisedPnl, fees, borrowFees = 0, funding = 0 }: Readonly<Book>): number {
  return realisedPnl - fees - borrowFees - funding;
}
