import type { AccountMoney } from "./account-money.ts";
import type { IntentWriter } from "./intent-writer.ts";
import type { LedgerBook } from "./ledger-book.ts";
import { wholeLots } from "./lots.ts";
import type { RouterCore } from "./router-core.ts";
import type { RouterEffect } from "./router-order.ts";
import { remainingLots } from "./router-order.ts";
import type { Book } from "./router-state.ts";

/** What an account must do at its last marks: nothing, reduce its positions, or close them for good. */
export type MarginDemand = "none" | "reduce" | "close";

/** @param gross Σ over instruments of |net lots| × value of a lot */
export function marginDemand(
  money: AccountMoney | undefined,
  equity: number,
  gross: number,
): MarginDemand {
  if (money === undefined) return "none";
  if (equity <= 0) return "close";
  return equity < (money.maintenance ?? 0) * gross ? "reduce" : "none";
}

/** What {@link demandOf} has found. */
interface MarginCheck {
  readonly demand: MarginDemand;
  readonly equity: number;
  readonly gross: number;
}

/**
 * The demand on an account. What its reduce-only orders take away already counts as gone, so that the same demand is
 * met once. A ruined account demands that whatever it still holds is closed.
 */
export function demandOf(core: RouterCore): MarginCheck {
  const { ledger } = core;
  const equity = ledger.equity();
  const net = new Map<string, number>();
  let isHolding = false;
  let hasTraded = false;
  for (const book of ledger.books.values()) {
    const lots = lotsAfterReductions(book);
    isHolding ||= lots !== 0 && book.world !== "";
    hasTraded ||= book.quantity !== 0 || book.realisedPnl !== 0;
    net.set(book.instrument, (net.get(book.instrument) ?? 0) + lots);
  }
  let gross = 0;
  for (const [symbol, lots] of net) gross += core.valueOf(symbol, lots);
  if (core.isRuined) return { demand: isHolding ? "close" : "none", equity, gross };
  // An account that has not traded waits for its first money.
  const demand = hasTraded ? marginDemand(ledger.money, equity, gross) : "none";
  return { demand, equity, gross };
}

/**
 * Meets the demand: orders that open are cancelled, and reduce-only market orders take every position down by the same
 * share, to `leverageMax` × equity, or to nothing. Targets end at what is left, so that nothing is bought back. Once
 * equity is 0 or below, the account is ruined: it opens nothing ever after.
 *
 * @param timeMs end of the bucket at whose marks it is met, milliseconds; of an account that knows no times its row
 */
export function meetDemand(
  core: RouterCore,
  writer: IntentWriter,
  cancelOpening: () => RouterEffect[],
  bucketOf: (book: Readonly<Book>) => number,
  timeMs: number,
): RouterEffect[] {
  const { demand, equity, gross } = demandOf(core);
  if (demand === "none") return [];
  const effects = cancelOpening();
  if (demand === "close") core.ruin ??= { timeMs, equity };
  const most = core.ledger.money?.leverageMax ?? 0;
  const share = demand === "close" ? 0 : Math.min(1, (most * equity) / gross);
  for (const book of core.ledger.books.values()) {
    // Positions that belong to no world have no gate to leave by.
    if (book.world === "") continue;
    const left = reducedLots(book, lotsAfterReductions(book) * share);
    const order = writer.reduce(book, left, bucketOf(book), "margin");
    if (order !== undefined) effects.push({ kind: "send", order });
    if (book.target === null) continue;
    const { reduceTo: _, ...target } = book.target;
    book.target = demand === "close" ? null : { ...target, lots: left };
  }
  return effects;
}

/** Lots of a book that are held once its working reduce-only orders have filled. */
function lotsAfterReductions(book: LedgerBook): number {
  let lots = book.quantity;
  for (const order of book.working) if (order.reduceOnly) lots += remainingLots(order);
  return lots;
}

/** Whole lots of a book that are left: as many as allowed, or what its target leaves of them, if that is less. */
function reducedLots({ quantity, target }: Readonly<Book>, allowed: number): number {
  const left = wholeLots(allowed);
  if (left === 0) return 0;
  if (target === null) return left;
  if (target.lots === 0 || target.lots > 0 !== quantity > 0) return 0;
  return Math.abs(target.lots) < Math.abs(left) ? target.lots : left;
}
