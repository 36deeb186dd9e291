import type { BookId, OrderState } from "@qmtl/core/execution";
import { worldTopicKey } from "@qmtl/service-kit/control";
import type { Queryable } from "@qmtl/service-kit/db";

/** An order as the journal has it. */
export interface StoredOrder {
  readonly position: number;
  readonly id: string;
  readonly account: string;
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  readonly lots: number;
  readonly filledLots: number;
  /** Σ of filled lots × price. */
  readonly filledValue: number;
  readonly state: OrderState;
  readonly origin: string;
  /** market, limit or stop. */
  readonly type: string;
  readonly reduceOnly: boolean;
  readonly side: "long" | "short";
  readonly opening: boolean;
  readonly row: number;
  readonly bucket: number;
  readonly fence: number;
  readonly decisionId: string;
  readonly sessionId: string;
  readonly domain: string;
  /** Null unless the type has one. */
  readonly limitPrice: number | null;
  readonly stopPrice: number | null;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  /** Journal entry of its last change. */
  readonly entry: number;
  readonly reason: string;
}

/** An order after a booking. The position is missing, because the table assigns it. */
export type OrderAfter = Omit<StoredOrder, "position">;

/** A change of an order that existed before the booking. */
export interface OrderChange
  extends Pick<StoredOrder, "id" | "state" | "filledLots" | "reason" | "updateTimeMs" | "entry"> {
  /** Σ of lots × price of the new fills. */
  readonly filledValue: number;
}

/** Which orders; an empty text means any. */
export interface OrderFilter {
  readonly account: string;
  readonly world: string;
  readonly strategy: string;
  readonly workingOnly: boolean;
}

const COLUMNS = `position, client_order_id AS id, account_id AS account, world_id AS world,
  strategy_id AS strategy, instrument, lots, filled_lots AS "filledLots", filled_value AS "filledValue", state,
  origin, order_type AS type, reduce_only AS "reduceOnly", side, opening, source_row AS "row", bucket_end_ms AS bucket, fence,
  decision_id AS "decisionId", session_id AS "sessionId", domain, create_time_ms AS "createTimeMs", reason,
  limit_price AS "limitPrice", stop_price AS "stopPrice", update_time_ms AS "updateTimeMs", entry`;

/** States of an order that has not ended, as SQL. */
const WORKING = "'pending', 'sent', 'unknown', 'accepted', 'partial'";

/** Orders after a position, oldest first. */
export function listOrders(
  db: Queryable,
  filter: OrderFilter,
  afterPosition: number,
  limit: number,
): Promise<StoredOrder[]> {
  return db.query<StoredOrder>(
    `SELECT ${COLUMNS} FROM gateway.client_order
     WHERE position > $1 AND ($2 = '' OR account_id = $2) AND ($3 = '' OR world_id = $3)
       AND ($4 = '' OR strategy_id = $4)
       AND (NOT $5 OR state IN (${WORKING}))
     ORDER BY position LIMIT $6`,
    [afterPosition, filter.account, filter.world, filter.strategy, filter.workingOnly, limit],
  );
}

/** Working orders of a world, with the revision of its topic ORDER that was stored together with them. */
interface WorkingOrders {
  readonly storeEpoch: number;
  /** 0 when no event was stored yet. */
  readonly revision: number;
  readonly orders: readonly StoredOrder[];
}

/** Reads them in one statement, oldest order first, at most `limit`. */
export async function readWorkingOrders(
  db: Queryable,
  worldId: string,
  limit: number,
): Promise<WorkingOrders> {
  type Row = Partial<StoredOrder> & { storeEpoch: number | null; revision: number | null };
  const rows = await db.query<Row>(
    `SELECT s.store_epoch AS "storeEpoch", r.revision, o.*
     FROM (VALUES ($1::text)) k (topic_key)
       LEFT JOIN gateway.topic_store s ON true
       LEFT JOIN gateway.topic_revision r USING (topic_key)
       LEFT JOIN LATERAL (SELECT ${COLUMNS} FROM gateway.client_order
         WHERE world_id = $2 AND state IN (${WORKING}) ORDER BY position LIMIT $3) o ON true
     ORDER BY o.position`,
    [worldTopicKey(worldId, "order"), worldId, limit],
  );
  const isOrder = (row: Row): row is Row & StoredOrder => typeof row.position === "number";
  const [first] = rows;
  return {
    storeEpoch: first?.storeEpoch ?? 1,
    revision: first?.revision ?? 0,
    orders: rows.filter(isOrder),
  };
}

/** Orders by id. */
export function readOrders(db: Queryable, ids: readonly string[]): Promise<StoredOrder[]> {
  return db.query<StoredOrder>(
    `SELECT ${COLUMNS} FROM gateway.client_order WHERE client_order_id = ANY($1::text[]) ORDER BY position`,
    [[...ids]],
  );
}

/** Book of an order of an account; undefined for one that is not there. */
export async function readBookOfOrder(
  db: Queryable,
  account: string,
  orderId: string,
): Promise<BookId | undefined> {
  const [row] = await db.query<BookId>(
    `SELECT world_id AS world, strategy_id AS strategy, instrument FROM gateway.client_order
     WHERE client_order_id = $1 AND account_id = $2`,
    [orderId, account],
  );
  return row;
}

/** How many orders of a strategy left: taken in by a broker, or at least sent. */
export async function countSent(db: Queryable, world: string, strategy: string): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `SELECT count(*) AS count FROM gateway.client_order
     WHERE world_id = $1 AND strategy_id = $2 AND state NOT IN ('pending', 'rejected')`,
    [world, strategy],
  );
  return row?.count ?? 0;
}

/** Position of the newest order, 0 for none. */
export async function lastOrderPosition(db: Queryable): Promise<number> {
  const [row] = await db.query<{ position: number }>(
    "SELECT coalesce(max(position), 0) AS position FROM gateway.client_order",
  );
  return row?.position ?? 0;
}

/** Catch-up orders made after a position. */
export async function rearmedAfter(db: Queryable, position: number): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    `SELECT client_order_id AS id FROM gateway.client_order WHERE position > $1 AND origin = 'rearm'
     ORDER BY position`,
    [position],
  );
  return rows.map((row) => row.id);
}

/** False in a database on which no order path was ever started. */
export async function hasOrderTables(db: Queryable): Promise<boolean> {
  const [found] = await db.query<{ isThere: boolean }>(
    `SELECT to_regclass('gateway.journal') IS NOT NULL
       AND to_regclass('gateway.client_order') IS NOT NULL AS "isThere"`,
  );
  return found?.isThere === true;
}

/** Instruments of which an order of the account was filled. */
export async function tradedInstruments(
  db: Queryable,
  account: string,
): Promise<ReadonlySet<string>> {
  const rows = await db.query<{ instrument: string }>(
    "SELECT DISTINCT instrument FROM gateway.client_order WHERE account_id = $1 AND filled_lots <> 0",
    [account],
  );
  return new Set(rows.map(({ instrument }) => instrument));
}
