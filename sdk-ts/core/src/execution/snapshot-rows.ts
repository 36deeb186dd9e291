import type { BookId, RouterOrder } from "./router-order.ts";
import type { BookedFill, RouterSnapshot } from "./router-state.ts";

/** A row of a snapshot: plain data, whose doubles are to be stored bit for bit. */
export type SnapshotRow = readonly unknown[];

/** Rows that are no snapshot of this version. */
export class SnapshotUnreadable extends Error {
  override readonly name = "SnapshotUnreadable";
}

/**
 * A snapshot as rows, some ten thousand of them on an account that has traded for long: first what there is little of,
 * then one for each order and fill, which names its book by its place among the books. A snapshot does not change, so
 * the rows may be taken one by one while its router goes on.
 */
export function* snapshotRows(snapshot: RouterSnapshot): Generator<SnapshotRow> {
  const { openOrders, closedOrders, fills, ...rest } = snapshot;
  const counts = [openOrders.length, closedOrders.length, fills.length] as const;
  yield [rest, ...counts];
  const places = new Map(snapshot.books.map((book, place) => [keyOf(book), place]));
  const placeOf = (id: BookId): number => {
    const place = places.get(keyOf(id));
    if (place === undefined) throw new Error(`no book of ${id.instrument} of ${id.strategy}`);
    return place;
  };
  for (const order of openOrders) yield orderRow(order, placeOf(order));
  for (const order of closedOrders) yield orderRow(order, placeOf(order));
  for (const fill of fills) yield fillRow(fill, placeOf(fill));
}

/**
 * The snapshot that rows were made from, and the account that they are of.
 *
 * @throws {SnapshotUnreadable} for other rows, more or fewer of them, or those of another version
 */
export function snapshotOfRows(rows: readonly SnapshotRow[], account: string): RouterSnapshot {
  const [head] = rows;
  if (head === undefined || !isHead(head)) throw new SnapshotUnreadable("no head of version 1");
  const [rest, openCount, closedCount, fillCount] = head;
  const closedFrom = 1 + openCount;
  const fillsFrom = closedFrom + closedCount;
  if (rows.length !== fillsFrom + fillCount) {
    throw new SnapshotUnreadable(`${rows.length} rows instead of ${fillsFrom + fillCount}`);
  }
  const { books } = rest;
  return {
    ...rest,
    openOrders: rows.slice(1, closedFrom).map((row) => orderOf(row, books, account)),
    closedOrders: rows.slice(closedFrom, fillsFrom).map((row) => orderOf(row, books, account)),
    fills: rows.slice(fillsFrom).map((row) => fillOf(row, books)),
  };
}

type HeadRow = readonly [
  rest: Omit<RouterSnapshot, "openOrders" | "closedOrders" | "fills">,
  openCount: number,
  closedCount: number,
  fillCount: number,
];

function isHead(row: SnapshotRow): row is HeadRow {
  const [rest, ...counts] = row;
  if (typeof rest !== "object" || rest === null || !("version" in rest && "books" in rest)) {
    return false;
  }
  const isCounted = counts.length === 3 && counts.every((count) => Number.isSafeInteger(count));
  return isCounted && rest.version === 1 && Array.isArray(rest.books);
}

type OrderRow = readonly [
  place: number,
  id: string,
  bucket: number,
  intentSequence: number,
  lots: number,
  side: RouterOrder["side"],
  isOpening: boolean,
  isReduceOnly: boolean,
  origin: RouterOrder["origin"],
  terms: NonNullable<RouterOrder["terms"]> | null,
  filledLots: number,
  state: RouterOrder["state"],
  isCancelRequested: boolean,
  reason: string,
];
const orderCells = [
  ...["number", "string", "number", "number", "number", "string", "boolean", "boolean"],
  ...["string", "object", "number", "string", "boolean", "string"],
];

function orderRow(order: Readonly<RouterOrder>, place: number): OrderRow {
  return [
    place,
    order.id,
    order.bucket,
    order.intentSequence,
    order.lots,
    order.side,
    order.opening,
    order.reduceOnly,
    order.origin,
    order.terms ?? null,
    order.filledLots,
    order.state,
    order.cancelRequested,
    order.reason,
  ];
}

function orderOf(row: SnapshotRow, books: readonly BookId[], account: string): RouterOrder {
  if (!hasCells<OrderRow>(row, orderCells)) throw new SnapshotUnreadable("a row is no order");
  const [place, id, bucket, intentSequence, lots, side, opening, reduceOnly, origin] = row;
  const terms = row[9];
  return {
    account,
    ...bookAt(books, place),
    bucket,
    intentSequence,
    id,
    lots,
    side,
    opening,
    reduceOnly,
    origin,
    ...(terms === null ? {} : { terms }),
    filledLots: row[10],
    state: row[11],
    cancelRequested: row[12],
    reason: row[13],
  };
}

type FillRow = readonly [
  place: number,
  executionId: string,
  orderId: string,
  lots: number,
  price: number,
  fee: number,
];
const fillCells = ["number", "string", "string", "number", "number", "number"];

function fillRow({ executionId, orderId, lots, price, fee }: BookedFill, place: number): FillRow {
  return [place, executionId, orderId, lots, price, fee];
}

function fillOf(row: SnapshotRow, books: readonly BookId[]): BookedFill {
  if (!hasCells<FillRow>(row, fillCells)) throw new SnapshotUnreadable("a row is no fill");
  const [place, executionId, orderId, lots, price, fee] = row;
  return { executionId, orderId, lots, price, fee, ...bookAt(books, place) };
}

function hasCells<Row extends SnapshotRow>(row: SnapshotRow, types: readonly string[]): row is Row {
  return row.length === types.length && types.every((type, at) => typeof row[at] === type);
}

function bookAt(books: readonly BookId[], place: number): BookId {
  const book = books[place];
  if (book === undefined) throw new SnapshotUnreadable(`no book at ${place}`);
  const { world, strategy, instrument } = book;
  return { world, strategy, instrument };
}

function keyOf({ world, strategy, instrument }: BookId): string {
  return JSON.stringify([world, strategy, instrument]);
}
