import {
  checkMarks,
  type InternalCross,
  lotsTowardZero,
  type PlanInstrument,
  planMultiScaling,
  planTargets,
  quantityFromLots,
  type TargetsPlan,
} from "@qmtl/core/execution";
import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";
import { Decimal } from "decimal.js";
import type { Books } from "./books.ts";
import type { WantedAllocation } from "./upsert-allocations.ts";

/** A change of one position; quantity signed, decimal text. */
export interface Delta {
  readonly worldId: string;
  readonly strategyId: string;
  readonly instrument: string;
  readonly venue: string;
  readonly quantity: string;
  readonly reduces: boolean;
}

/** A trade between two strategies, booked internally. */
interface CrossTrade {
  readonly instrument: string;
  readonly quantity: string;
  readonly price: string;
  readonly buyer: { readonly worldId: string; readonly strategyId: string };
  readonly seller: { readonly worldId: string; readonly strategyId: string };
}

/** A plan that has no id yet. */
export interface DraftPlan {
  readonly deltas: readonly Delta[];
  readonly netDeltas: readonly Delta[];
  readonly crosses: readonly CrossTrade[];
  readonly scaleByWorld: Readonly<Record<string, number>>;
  readonly scaleByStrategy: Readonly<Record<string, number>>;
}

/**
 * Plans to targets: desired = latest target × strategy share × world share × equity. Changes below `tradeNotionalMin`,
 * or below the least notional of their instrument where it is undefined, are left out.
 */
export function draftTargets(
  books: Books,
  allocations: readonly WantedAllocation[],
  tradeNotionalMin: number | undefined,
): DraftPlan {
  const instruments = books.instruments.map(
    (i): PlanInstrument => ({ ...i, lotSize: Number(i.lot), fxRate: 1 }),
  );
  const lotOf = new Map(books.instruments.map((i) => [i.symbol, i.lot]));
  const plan = planTargets({
    accountRevision: books.accountRevision,
    expectedAccountRevision: books.accountRevision,
    equity: books.equity,
    worldShares: new Map(allocations.map((a) => [a.worldId, a.ratio])),
    strategyShares: new Map(allocations.map((a) => [a.worldId, a.shares])),
    books: books.positions.map((p) => ({
      ...p,
      positionLots: Number(lotsTowardZero(Number(p.quantity), lotOf.get(p.symbol) ?? "1")),
      workingLots: Number(lotsTowardZero(Number(p.working), lotOf.get(p.symbol) ?? "1")),
      targetValue: p.target,
    })),
    instruments,
    marks: books.marks,
    nowMs: books.nowMs,
    markAgeMsMax: books.markAgeMsMax,
    ...(tradeNotionalMin === undefined ? {} : { tradeNotionalMin }),
  });
  if (!plan.ok) throw refused(plan.reason, plan.detail);
  return fromTargets(plan, books, lotOf);
}

/** Plans by scaling positions by their new share ÷ their old share. */
export function draftScaling(
  books: Books,
  before: readonly WantedAllocation[],
  after: readonly WantedAllocation[],
  tradeNotionalMin: number,
): DraftPlan {
  const marks = checkMarks(books.marks, books.positions, books.nowMs, books.markAgeMsMax);
  if (!marks.ok) throw refused(marks.reason, `${marks.venue} ${marks.symbol}`);
  const priceOf = new Map(books.marks.map((m) => [`${m.venue}\n${m.symbol}`, m.price]));
  const plan = planMultiScaling({
    totalEquity: books.equity,
    worldsBefore: new Map(before.map((a) => [a.worldId, a.ratio])),
    worldsAfter: new Map(after.map((a) => [a.worldId, a.ratio])),
    strategiesBefore: totalsOf(before),
    strategiesAfter: totalsOf(after),
    positions: books.positions.map((p) => ({
      ...p,
      quantity: Number(p.quantity),
      mark: priceOf.get(`${p.venue}\n${p.symbol}`) ?? 0,
    })),
    tradeNotionalMin,
    lotSizes: new Map(books.instruments.map((i) => [i.symbol, i.lot])),
  });
  if (!plan.ok) throw refused(plan.reason, "allocations");
  const held = heldBy(books);
  const row = (
    worldId: string,
    d: { venue: string | null; symbol: string; quantity: number },
  ): Delta => {
    const venue = d.venue ?? "";
    const reduces = isReduction(held(worldId, "", venue, d.symbol), d.quantity);
    const quantity = new Decimal(d.quantity).toDecimalPlaces(18).toFixed();
    return { worldId, strategyId: "", instrument: d.symbol, venue, quantity, reduces };
  };
  const worlds = [...plan.perWorld];
  return {
    deltas: reductionsFirst(worlds.flatMap(([id, w]) => w.deltas.map((d) => row(id, d)))),
    netDeltas: reductionsFirst(plan.globalDeltas.map((d) => row("", d))),
    crosses: [],
    scaleByWorld: Object.fromEntries(worlds.map(([id, w]) => [id, w.worldScale])),
    scaleByStrategy: Object.fromEntries(
      worlds.flatMap(([id, w]) => [...w.strategyScales].map(([s, x]) => [`${id}/${s}`, x])),
    ),
  };
}

function fromTargets(
  plan: Extract<TargetsPlan, { ok: true }>,
  books: Books,
  lotOf: ReadonlyMap<string, string>,
): DraftPlan {
  const held = heldBy(books);
  const text = (symbol: string, lots: number): string =>
    quantityFromLots(lots, lotOf.get(symbol) ?? "1");
  const deltas = plan.books
    .filter((b) => b.deltaLots !== 0)
    .map((b): Delta => {
      const { worldId, strategyId, venue, symbol: instrument } = b;
      const reduces = isReduction(held(worldId, strategyId, venue, instrument), b.deltaLots);
      return {
        worldId,
        strategyId,
        instrument,
        venue,
        quantity: text(instrument, b.deltaLots),
        reduces,
      };
    });
  const netDeltas = plan.externals.map(({ venue, symbol: instrument, lots }): Delta => {
    const reduces = isReduction(held("", "", venue, instrument), lots);
    return {
      worldId: "",
      strategyId: "",
      instrument,
      venue,
      quantity: text(instrument, lots),
      reduces,
    };
  });
  return {
    deltas: reductionsFirst(deltas),
    netDeltas,
    crosses: pairCrosses(plan.crosses, text),
    scaleByWorld: {},
    scaleByStrategy: {},
  };
}

/** Pairs each book's side of the internal trades into buyer and seller, in the planner's order. */
function pairCrosses(
  sides: readonly InternalCross[],
  text: (symbol: string, lots: number) => string,
): CrossTrade[] {
  const trades: CrossTrade[] = [];
  const open = sides.map((side) => ({ ...side }));
  for (const buy of open.filter((side) => side.lots > 0)) {
    for (const sale of open) {
      const isMatch = sale.lots < 0 && sale.symbol === buy.symbol && sale.venue === buy.venue;
      const lots = isMatch ? Math.min(buy.lots, -sale.lots) : 0;
      if (lots === 0) continue;
      buy.lots -= lots;
      sale.lots += lots;
      trades.push({
        instrument: buy.symbol,
        quantity: text(buy.symbol, lots),
        price: String(buy.price),
        buyer: { worldId: buy.worldId, strategyId: buy.strategyId },
        seller: { worldId: sale.worldId, strategyId: sale.strategyId },
      });
    }
  }
  return trades;
}

/** Returns a function that sums the quantity held; "" stands for all worlds, or for all strategies. */
function heldBy(books: Books) {
  return (worldId: string, strategyId: string, venue: string, symbol: string): number =>
    books.positions
      .filter((p) => p.venue === venue && p.symbol === symbol)
      .filter((p) => worldId === "" || p.worldId === worldId)
      .filter((p) => strategyId === "" || p.strategyId === strategyId)
      .reduce((sum, p) => sum + Number(p.quantity), 0);
}

function isReduction(held: number, change: number): boolean {
  return held !== 0 && held > 0 !== change > 0 && Math.abs(change) <= Math.abs(held);
}

function reductionsFirst(deltas: readonly Delta[]): Delta[] {
  return deltas.toSorted((a, b) => Number(b.reduces) - Number(a.reduces));
}

function totalsOf(allocations: readonly WantedAllocation[]) {
  const given = allocations.filter((a) => a.shares.size > 0);
  return new Map(
    given.map((a) => [
      a.worldId,
      new Map([...a.shares].map(([id, share]) => [id, share * a.ratio])),
    ]),
  );
}

const MARK_REFUSALS = [
  "MARK_MISSING",
  "MARK_STALE",
  "MARK_DISAGREES",
  "MARK_NOT_POSITIVE",
  "TERM_MISSING",
];

function refused(why: string, detail: string): QmtlError {
  const reason: ReasonName = MARK_REFUSALS.includes(why)
    ? "MARK_INVALID"
    : why === "ACCOUNT_REVISION_STALE"
      ? "ACCOUNT_REVISION_STALE"
      : "ALLOCATION_INVALID";
  return new QmtlError(reason, `the plan is refused: ${why} (${detail})`, {
    metadata: { refusal: why, detail },
  });
}
