import type { Queryable, SqlParam } from "@qmtl/service-kit/db";
import { rowsStatement, Writes } from "../../store/writes.ts";
import type { JournalKind, JournalOp } from "./journal-op.ts";
import type { OrderAfter, OrderChange } from "./order-table.ts";

/** A stored entry. */
export interface JournalEntryRow {
  readonly entry: number;
  readonly kind: JournalKind;
  readonly worldId: string;
  readonly strategyId: string;
  readonly row: number;
  readonly bodyJson: string;
  readonly timeMs: number;
}

/** Orders that were made together with entries, and changes of others. */
export interface BookedOrders {
  readonly made: readonly OrderAfter[];
  readonly changed: readonly OrderChange[];
}

/** The writes that store entries, and the orders that were made or changed with them. */
export function bookingWrites(
  account: string,
  { made, changed }: BookedOrders,
  entries: readonly JournalEntryRow[],
): Writes {
  const writes = new Writes();
  writes.addRows(
    insertEntries,
    entries.map((one) => [
      ...[account, one.entry, one.kind, one.worldId, one.strategyId, one.row],
      ...[one.bodyJson, one.timeMs],
    ]),
  );
  writes.addRows(insertOrders, made.map(madeRow));
  writes.addRows(updateOrders, changed.map(changedRow));
  return writes;
}

/** Orders an entry is about. */
export function ordersOf(body: object): string[] {
  if ("fill" in body) return textOf(body.fill, "orderId");
  if (!("order" in body)) return [];
  return typeof body.order === "string" ? [body.order] : textOf(body.order, "id");
}

function textOf(value: unknown, key: string): string[] {
  if (typeof value !== "object" || value === null) return [];
  const found: unknown = Reflect.get(value, key);
  return typeof found === "string" ? [found] : [];
}

const insertEntries = rowsStatement(
  ["text", "bigint", "text", "text", "text", "bigint", "text", "bigint"],
  (rows) =>
    `INSERT INTO gateway.journal (account_id, entry, kind, world_id, strategy_id, source_row, body, time_ms)
     SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL`,
);

const insertOrders = rowsStatement(
  [
    ...["text", "text", "text", "text", "text", "bigint", "text", "text", "boolean", "text"],
    ...["boolean", "bigint", "bigint", "bigint", "text", "text", "text", "text", "bigint", "text"],
    ...["double precision", "double precision", "bigint", "bigint", "bigint", "double precision"],
  ],
  (rows) =>
    `INSERT INTO gateway.client_order (client_order_id, account_id, world_id, strategy_id, instrument, lots,
       state, origin, reduce_only, side, opening, source_row, bucket_end_ms, fence, decision_id, session_id, domain,
       reason, create_time_ms, order_type, limit_price, stop_price, update_time_ms, entry, filled_lots, filled_value)
     SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL`,
);

function madeRow(order: OrderAfter): SqlParam[] {
  return [
    ...[order.id, order.account, order.world, order.strategy, order.instrument, order.lots],
    ...[order.state, order.origin, order.reduceOnly, order.side, order.opening, order.row],
    ...[order.bucket, order.fence, order.decisionId, order.sessionId, order.domain],
    ...[order.reason, order.createTimeMs, order.type, order.limitPrice, order.stopPrice],
    ...[order.updateTimeMs, order.entry, order.filledLots, order.filledValue],
  ];
}

const updateOrders = rowsStatement(
  ["text", "text", "bigint", "text", "double precision", "bigint", "bigint"],
  (rows) =>
    `UPDATE gateway.client_order o SET state = r.state, filled_lots = r.filled_lots, reason = r.reason,
       filled_value = o.filled_value + r.filled_value, update_time_ms = r.update_time_ms, entry = r.entry
     FROM (${rows}) AS r (id, state, filled_lots, reason, filled_value, update_time_ms, entry)
     WHERE o.client_order_id = r.id`,
);

function changedRow(change: OrderChange): SqlParam[] {
  const { id, state, filledLots, reason, filledValue, updateTimeMs, entry } = change;
  return [id, state, filledLots, reason, filledValue, updateTimeMs, entry];
}

/** Entries after `afterEntry`, in order, at most `limit`; no `kinds` means all of them. */
export async function readJournal(
  db: Queryable,
  account: string,
  afterEntry: number,
  limit: number,
  kinds: readonly string[] = [],
): Promise<JournalEntryRow[]> {
  return db.query<JournalEntryRow>(
    `SELECT entry, kind, world_id AS "worldId", strategy_id AS "strategyId", source_row AS "row",
       body AS "bodyJson", time_ms AS "timeMs"
     FROM gateway.journal WHERE account_id = $1 AND entry > $2 AND ($4::text[] = '{}' OR kind = ANY($4::text[]))
     ORDER BY entry LIMIT $3`,
    [account, afterEntry, limit, [...kinds]],
  );
}

const replayPage = 2_000;

/** Reads the journal of an account in order, from the entry after `afterEntry` on. Throws at a gap. */
export async function replayJournal(
  db: Queryable,
  account: string,
  afterEntry: number,
  take: (op: JournalOp, row: JournalEntryRow) => void,
): Promise<void> {
  let head = afterEntry;
  for (;;) {
    const rows = await readJournal(db, account, head, replayPage);
    for (const row of rows) {
      if (row.entry !== head + 1) throw new Error(`journal of ${account}: gap after entry ${head}`);
      head = row.entry;
      take(JSON.parse(row.bodyJson) as JournalOp, row);
    }
    if (rows.length < replayPage) return;
  }
}

/** Number of the last entry of an account, 0 for none. */
export async function lastEntry(db: Queryable, account: string): Promise<number> {
  const [row] = await db.query<{ entry: number }>(
    "SELECT coalesce(max(entry), 0) AS entry FROM gateway.journal WHERE account_id = $1",
    [account],
  );
  return row?.entry ?? 0;
}
