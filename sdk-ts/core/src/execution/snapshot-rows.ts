import type { BookId, RouterOrder } from "./router-order.ts";
import type { Book, BookedFill, RouterSnapshot, StrategyAccount } from "./router-state.ts";

/** A row of a snapshot: plain data, whose doubles are to be stored bit for bit. */
export type SnapshotRow = readonly unknown[];

/** Rows that are no snapshot of this version. */
export class SnapshotUnreadable extends Error {
  override readonly name = "SnapshotUnreadable";
}

/**
 * A snapshot as rows, some ten thousand of them for an account with a long history: first one row with everything that
 * is small, then one for each strategy, book, order and fill. Orders and fills name their book by its index. A snapshot
 * does not change, so the rows may be taken one by one while its router goes on.
 */
export function* snapshotRows(snapshot: RouterSnapshot): Generator<SnapshotRow> {
  const { strategies, books, openOrders, closedOrders, fills, ...rest } = snapshot;
  const lists = [strategies, books, openOrders, closedOrders, fills] as const;
  yield [rest, ...lists.map((list) => list.length)];
  for (const strategy of strategies) yield [strategy];
  for (const book of books) yield [book];
  const places = new Map(books.map((book, place) => [keyOf(book), place]));
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
 * The snapshot that rows were made from.
 *
 * @param account account of the snapshot; the rows do not name it
 * @throws {SnapshotUnreadable} for other rows, more or fewer of them, or those of another version
 */
export function snapshotOfRows(rows: readonly SnapshotRow[], account: string): RouterSnapshot {
  const [head] = rows;
  if (head === undefined || !isHead(head)) throw new SnapshotUnreadable("no head of version 1");
  const [rest, ...counts] = head;
  const length = counts.reduce((sum, count) => sum + count, 1);
  if (rows.length !== length) {
    throw new SnapshotUnreadable(`${rows.length} rows instead of ${length}`);
  }
  let at = 1;
  const [strategies, bookRows, open, closed, fills] = counts.map((count) => {
    at += count;
    return rows.slice(at - count, at);
  }) as [SnapshotRow[], SnapshotRow[], SnapshotRow[], SnapshotRow[], SnapshotRow[]];
  const books = bookRows.map((row) => recordOf<Book>(row));
  return {
    ...rest,
    strategies: strategies.map((row) => recordOf<StrategyAccount>(row)),
    books,
    openOrders: open.map((row) => orderOf(row, books, account)),
    closedOrders: closed.map((row) => orderOf(row, books, account)),
    fills: fills.map((row) => fillOf(row, books)),
  };
}

/** All fields of a record, also those that may be absent: one that is forgotten does not compile. */
type WholeRecord<Fields> = { readonly [Name in keyof Required<Fields>]: Fields[Name] };

type HeadRow = readonly [
  rest: Omit<RouterSnapshot, "strategies" | "books" | "openOrders" | "closedOrders" | "fills">,
  strategies: number,
  books: number,
  open: number,
  closed: number,
  fills: number,
];

function isHead(row: SnapshotRow): row is HeadRow {
  const [rest, ...counts] = row;
  if (typeof rest !== "object" || rest === null || !("version" in rest)) return false;
  const isCounted = counts.length === 5 && counts.every((count) => Number.isSafeInteger(count));
  return isCounted && rest.version === 1;
}

/** The strategy or book of a row that holds nothing else. */
function recordOf<T extends StrategyAccount | Book>(row: SnapshotRow): T {
  const [record] = row;
  if (row.length !== 1 || typeof record !== "object" || record === null) {
    throw new SnapshotUnreadable("a row is no record");
  }
  return record as T;
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
  const { terms, ...order }: WholeRecord<RouterOrder> = {
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
    terms: row[9] ?? undefined,
    filledLots: row[10],
    state: row[11],
    cancelRequested: row[12],
    reason: row[13],
  };
  return terms === undefined ? order : { ...order, terms };
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
