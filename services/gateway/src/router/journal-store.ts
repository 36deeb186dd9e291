import { jcs } from "@qmtl/sdk/canonical";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { AccountCore } from "./account-core.ts";
import type { Booking } from "./booking.ts";
import type { JournalKind, JournalOp } from "./journal-op.ts";

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

/** Writes the entries of a booking after `head`, the orders it made as they are now, and those it changed. */
export async function writeBooking(
  tx: Tx,
  account: string,
  booking: Booking,
  core: AccountCore,
  head: number,
  nowMs: number,
): Promise<JournalEntryRow[]> {
  const rows = booking.lines.map((line, index) => ({
    entry: head + 1 + index,
    kind: line.kind,
    worldId: line.world,
    strategyId: line.strategy,
    row: line.row,
    bodyJson: jcs(plain(line.body)),
    timeMs: nowMs,
  }));
  await tx.query(
    `INSERT INTO gateway.journal (account_id, entry, kind, world_id, strategy_id, source_row, body, time_ms)
     SELECT $1, r."entry", r."kind", r."worldId", r."strategyId", r."row", r."bodyJson", r."timeMs"
     FROM jsonb_to_recordset($2::jsonb) AS r("entry" bigint, "kind" text, "worldId" text, "strategyId" text,
       "row" bigint, "bodyJson" text, "timeMs" bigint)`,
    [account, JSON.stringify(rows)],
  );
  if (booking.made.length > 0) await insertOrders(tx, account, booking, nowMs);
  await updateOrders(tx, booking, core);
  return rows;
}

async function insertOrders(
  tx: Tx,
  account: string,
  booking: Booking,
  nowMs: number,
): Promise<void> {
  const rows = booking.made.map(({ order, context }) => ({ ...order, ...context }));
  await tx.query(
    `INSERT INTO gateway.client_order (client_order_id, account_id, world_id, strategy_id, instrument, lots, state,
       origin, reduce_only, side, opening, source_row, bucket_end_ms, fence, decision_id, session_id, domain,
       reason, create_time_ms)
     SELECT r."id", $1, r."world", r."strategy", r."instrument", r."lots", r."state", r."origin", r."reduceOnly",
       r."side", r."opening", r."row", r."bucket", r."fence", r."decisionId", r."sessionId", r."domain", r."reason", $3
     FROM jsonb_to_recordset($2::jsonb) AS r("id" text, "world" text, "strategy" text, "instrument" text,
       "lots" bigint, "state" text, "origin" text, "reduceOnly" boolean, "side" text, "opening" boolean,
       "row" bigint, "bucket" bigint, "fence" bigint, "decisionId" text, "sessionId" text, "domain" text, "reason" text)`,
    [account, JSON.stringify(rows), nowMs],
  );
}

async function updateOrders(tx: Tx, booking: Booking, core: AccountCore): Promise<void> {
  const made = new Set(booking.made.map(({ order }) => order.id));
  const rows = [...booking.touched].flatMap((id) => {
    if (made.has(id)) return [];
    const order = core.order(id);
    if (order === undefined) return [];
    const { state, filledLots, reason } = order;
    return [{ id, state, filledLots, reason, value: booking.filledValue.get(id) ?? 0 }];
  });
  if (rows.length === 0) return;
  await tx.query(
    `UPDATE gateway.client_order o SET state = r."state", filled_lots = r."filledLots", reason = r."reason",
       filled_value = o.filled_value + r."value"
     FROM jsonb_to_recordset($1::jsonb) AS r("id" text, "state" text, "filledLots" bigint, "reason" text,
       "value" double precision)
     WHERE o.client_order_id = r."id"`,
    [JSON.stringify(rows)],
  );
}

/** Entries after one, in order, at most `limit`; `kinds` empty for all. */
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

/** Reads the journal of an account through, in order. Returns the last entry's number, 0 for none. */
export async function replayJournal(
  db: Queryable,
  account: string,
  take: (op: JournalOp) => void,
): Promise<number> {
  let head = 0;
  for (;;) {
    const rows = await readJournal(db, account, head, replayPage);
    for (const row of rows) {
      if (row.entry !== head + 1) throw new Error(`journal of ${account}: gap after entry ${head}`);
      head = row.entry;
      take(JSON.parse(row.bodyJson) as JournalOp);
    }
    if (rows.length < replayPage) return head;
  }
}

/** JSON data only: no undefined fields. */
function plain(body: JournalOp): JournalOp {
  return JSON.parse(JSON.stringify(body)) as JournalOp;
}
