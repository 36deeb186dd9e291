import type { PositionDifference } from "./router-options.ts";
import { type RouterOrder, remainingLots } from "./router-order.ts";
import type { Book } from "./router-state.ts";

/**
 * Differences between the net lots in the books and at the broker, per instrument. One is left out while `unknown`
 * orders of the instrument could explain it: it lies between what their sales and their purchases would make.
 */
export function findDifferences(
  books: readonly Readonly<Book>[],
  open: readonly Readonly<RouterOrder>[],
  venue: ReadonlyMap<string, number>,
): PositionDifference[] {
  const expected = new Map<string, number>();
  for (const instrument of venue.keys()) {
    expected.set(instrument, 0);
  }
  for (const book of books) {
    expected.set(book.instrument, (expected.get(book.instrument) ?? 0) + book.quantity);
  }
  const differences: PositionDifference[] = [];
  for (const [instrument, expectedLots] of expected) {
    const actualLots = venue.get(instrument) ?? 0;
    const difference = actualLots - expectedLots;
    let buys = 0;
    let sales = 0;
    for (const order of open) {
      if (order.instrument === instrument && order.state === "unknown") {
        const lots = remainingLots(order);
        buys += Math.max(lots, 0);
        sales += Math.min(lots, 0);
      }
    }
    if (difference < sales || difference > buys) {
      differences.push({ instrument, expectedLots, actualLots });
    }
  }
  return differences;
}
