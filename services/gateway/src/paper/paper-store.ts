import type { SimulatedBrokerSnapshot, SimulatedFill } from "@qmtl/sdk/execution";
import type { Queryable } from "@qmtl/service-kit/db";
import type { BrokerBar, BrokerFill, BrokerOrder } from "./broker-port.ts";

/** Bars kept an instrument, for orders that arrive late. */
export const paperBarsMax = 64;
/** Finished orders the broker remembers in memory; the table keeps all. */
const finishedMax = 10_000;

/** What is in the tables of one account. */
export interface PaperState {
  readonly snapshot: SimulatedBrokerSnapshot;
  readonly cash: number;
  readonly sequence: number;
  /** Orders whose reply was lost and whose fill is not to be told. */
  readonly lost: ReadonlySet<string>;
}

interface OrderRecord {
  order_id: string;
  world_id: string;
  strategy_id: string;
  instrument: string;
  lots: number;
  bucket_end_ms: number;
  reduce_only: boolean;
  outcome: "filled" | "cancelled" | null;
  report_lost: boolean;
}

/** Sub-account a strategy trades in. */
export function bookName(id: { readonly world: string; readonly strategy: string }): string {
  return `${id.world}/${id.strategy}`;
}

/** Reads an account; a new one gets its first cash. */
export async function loadPaper(
  db: Queryable,
  account: string,
  initialCash: number,
): Promise<PaperState> {
  await db.query(
    "INSERT INTO paper.cash (account_id, cash) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    [account, initialCash],
  );
  const [cash] = await db.query<{ cash: number }>(
    "SELECT cash FROM paper.cash WHERE account_id = $1",
    [account],
  );
  const orders = await db.query<OrderRecord>(
    `SELECT * FROM (SELECT * FROM paper.accepted_order WHERE account_id = $1
       ORDER BY position DESC LIMIT ${finishedMax}) t ORDER BY position`,
    [account],
  );
  const holdings = await db.query<{ instrument: string; book: string; lots: number }>(
    "SELECT instrument, book, lots FROM paper.holding WHERE account_id = $1 ORDER BY instrument, book",
    [account],
  );
  const bars = await db.query<BarRecord>(
    "SELECT * FROM paper.bar WHERE account_id = $1 ORDER BY instrument, bucket_end_ms",
    [account],
  );
  const [last] = await db.query<{ sequence: number }>(
    "SELECT coalesce(max(sequence), 0) AS sequence FROM paper.execution WHERE account_id = $1",
    [account],
  );
  return {
    snapshot: {
      version: 1,
      working: orders.filter((order) => order.outcome === null).map(workingOf),
      finished: orders.flatMap(({ order_id, outcome }) =>
        outcome === null ? [] : [[order_id, outcome] as const],
      ),
      positions: holdings.map(
        ({ instrument, book, lots }) =>
          [`${instrument.length}:${instrument}${book}`, lots] as const,
      ),
      bars: bars.map((bar) => ({ ...barOf(bar), instrument: bar.instrument })),
      cancelled: [],
      forgotten: [],
    },
    cash: cash?.cash ?? initialCash,
    sequence: last?.sequence ?? 0,
    lost: new Set(orders.filter((order) => order.report_lost).map((order) => order.order_id)),
  };
}

/** Takes the order in if its fence is the one registered last; false if not. */
export async function insertAccepted(
  db: Queryable,
  account: string,
  order: BrokerOrder,
  nowMs: number,
  reportLost: boolean,
): Promise<boolean> {
  const rows = await db.query(
    `INSERT INTO paper.accepted_order (account_id, order_id, world_id, strategy_id, instrument, lots,
       bucket_end_ms, reduce_only, fence, decision_id, origin, accepted_ms, report_lost)
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, f.fence, $9, $10, $11, $12
     FROM paper.world_fence f WHERE f.world_id = $3 AND f.fence = $13
     RETURNING order_id`,
    [
      account,
      order.id,
      order.world,
      order.strategy,
      order.instrument,
      order.lots,
      order.bucket,
      order.reduceOnly,
      order.decisionId,
      order.origin,
      nowMs,
      reportLost,
      order.fence,
    ],
  );
  return rows.length === 1;
}

/** Stores fills with their effect on holdings and cash. */
export async function insertFills(
  db: Queryable,
  account: string,
  fills: readonly {
    readonly sequence: number;
    readonly fill: SimulatedFill;
    readonly cost: number;
  }[],
): Promise<void> {
  for (const { sequence, fill, cost } of fills) {
    await db.query(
      `WITH traded AS (
         INSERT INTO paper.execution (account_id, sequence, execution_id, order_id, instrument, lots, price, fee,
           source_row, bucket_end_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)),
       held AS (
         INSERT INTO paper.holding AS h (account_id, instrument, book, lots) VALUES ($1, $5, $11, $6)
         ON CONFLICT (account_id, instrument, book) DO UPDATE SET lots = h.lots + excluded.lots),
       paid AS (UPDATE paper.cash SET cash = cash - $12 WHERE account_id = $1)
       UPDATE paper.accepted_order SET outcome = 'filled' WHERE account_id = $1 AND order_id = $4`,
      [
        account,
        sequence,
        fill.executionId,
        fill.orderId,
        fill.instrument,
        fill.lots,
        fill.price,
        fill.fee,
        fill.row,
        fill.bucketEndMs,
        fill.book,
        cost,
      ],
    );
  }
}

/** Adds signed lots to a sub-account. */
export async function moveHolding(
  db: Queryable,
  account: string,
  instrument: string,
  book: string,
  lots: number,
): Promise<void> {
  await db.query(
    `INSERT INTO paper.holding AS h (account_id, instrument, book, lots) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account_id, instrument, book) DO UPDATE SET lots = h.lots + excluded.lots`,
    [account, instrument, book, lots],
  );
}

export async function setOutcome(
  db: Queryable,
  account: string,
  orderId: string,
  outcome: "filled" | "cancelled",
): Promise<void> {
  await db.query(
    "UPDATE paper.accepted_order SET outcome = $3 WHERE account_id = $1 AND order_id = $2",
    [account, orderId, outcome],
  );
}

/** Stores bars and forgets the oldest. */
export async function insertBars(
  db: Queryable,
  account: string,
  bars: readonly BrokerBar[],
): Promise<void> {
  for (const bar of bars) {
    await db.query(
      `WITH played AS (
         INSERT INTO paper.bar (account_id, instrument, source_row, bucket_end_ms, open, high, low, close)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING)
       DELETE FROM paper.bar WHERE account_id = $1 AND instrument = $2 AND bucket_end_ms <
         (SELECT min(bucket_end_ms) FROM (SELECT bucket_end_ms FROM paper.bar
           WHERE account_id = $1 AND instrument = $2 ORDER BY bucket_end_ms DESC LIMIT ${paperBarsMax}) t)`,
      [account, bar.instrument, bar.row, bar.bucketEndMs, bar.open, bar.high, bar.low, bar.close],
    );
  }
}

/** Executions after a sequence number. */
export function readExecutions(
  db: Queryable,
  account: string,
  afterSequence: number,
): Promise<BrokerFill[]> {
  return db.query<BrokerFill>(
    `SELECT sequence, execution_id AS "executionId", order_id AS "orderId", instrument, lots, price, fee
     FROM paper.execution WHERE account_id = $1 AND sequence > $2 ORDER BY sequence`,
    [account, afterSequence],
  );
}

interface BarRecord {
  instrument: string;
  source_row: number;
  bucket_end_ms: number;
  open: number;
  high: number;
  low: number;
  close: number;
}

function barOf(bar: BarRecord) {
  const { source_row: row, bucket_end_ms: bucketEndMs, open, high, low, close } = bar;
  return { row, bucketEndMs, open, high, low, close };
}

function workingOf(order: OrderRecord) {
  return {
    id: order.order_id,
    instrument: order.instrument,
    lots: order.lots,
    bucket: order.bucket_end_ms,
    reduceOnly: order.reduce_only,
    book: bookName({ world: order.world_id, strategy: order.strategy_id }),
  };
}
