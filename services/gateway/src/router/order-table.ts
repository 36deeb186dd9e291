import type { OrderState } from "@qmtl/sdk/execution";
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
       AND (NOT $5 OR state IN ('pending', 'sent', 'unknown', 'accepted', 'partial'))
     ORDER BY position LIMIT $6`,
    [afterPosition, filter.account, filter.world, filter.strategy, filter.workingOnly, limit],
  );
}

/** Orders by id. */
export function readOrders(db: Queryable, ids: readonly string[]): Promise<StoredOrder[]> {
  return db.query<StoredOrder>(
    `SELECT ${COLUMNS} FROM gateway.client_order WHERE client_order_id = ANY($1::text[]) ORDER BY position`,
    [[...ids]],
  );
}

/** Orders of a strategy that left: taken in by a broker, or at least sent. */
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
