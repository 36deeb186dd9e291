import type { SimulatedBrokerSnapshot, SimulatedFill } from "@qmtl/sdk/execution";
import { type Queryable, queryRows } from "@qmtl/service-kit/db";
import type { BrokerBar, BrokerFill, BrokerOrder } from "./broker-port.ts";
import { type OrderRecord, workingOf } from "./order-record.ts";

/** Bars kept an instrument, for orders that arrive late. */
export const paperBarsMax = 64;
/** Stored besides: the bar before those, whose end tells which orders come too late. */
const storedBarsMax = paperBarsMax + 1;
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
  const bars = await db.query<BarRecord & { nth: number }>(
    `SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY instrument ORDER BY bucket_end_ms DESC) AS nth
       FROM paper.bar WHERE account_id = $1) t WHERE nth <= ${storedBarsMax} ORDER BY instrument, bucket_end_ms`,
    [account],
  );
  const [last] = await db.query<{ sequence: number }>(
    "SELECT coalesce(max(sequence), 0) AS sequence FROM paper.execution WHERE account_id = $1",
    [account],
  );
  return {
    snapshot: {
      version: 2,
      working: orders.filter((order) => order.outcome === null).map(workingOf),
      finished: orders.flatMap(({ order_id, outcome }) =>
        outcome === null ? [] : [[order_id, outcome] as const],
      ),
      positions: holdings.map(
        ({ instrument, book, lots }) =>
          [`${instrument.length}:${instrument}${book}`, lots] as const,
      ),
      bars: bars.flatMap((bar) => (bar.nth > paperBarsMax ? [] : [barOf(bar)])),
      cancelled: [],
      forgotten: bars.flatMap(({ nth, instrument, bucket_end_ms: endMs }) =>
        nth > paperBarsMax ? [[instrument, endMs] as const] : [],
      ),
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
       bucket_end_ms, reduce_only, fence, decision_id, origin, accepted_ms, report_lost, order_type, price)
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, f.fence, $9, $10, $11, $12, $14, $15::double precision
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
      order.terms?.type ?? "market",
      order.terms?.price ?? null,
    ],
  );
  return rows.length === 1;
}

const EXECUTION = [
  ...["text", "bigint", "text", "text", "text", "bigint"],
  ...["double precision", "double precision", "bigint", "bigint"],
];

/** Stores fills with their effect on holdings and cash, and their orders as filled. All of it is sent at once. */
export async function insertFills(
  db: Queryable,
  account: string,
  fills: readonly {
    readonly sequence: number;
    readonly fill: SimulatedFill;
    readonly cost: number;
  }[],
): Promise<void> {
  if (fills.length === 0) return;
  const executions = fills.map(({ sequence, fill }) => [
    ...[account, sequence, fill.executionId, fill.orderId, fill.instrument, fill.lots],
    ...[fill.price, fill.fee, fill.row, fill.bucketEndMs],
  ]);
  await Promise.all([
    queryRows(
      db,
      EXECUTION,
      executions,
      (list) =>
        `INSERT INTO paper.execution (account_id, sequence, execution_id, order_id, instrument, lots, price, fee,
           source_row, bucket_end_ms) VALUES ${list}`,
    ),
    moveHoldings(db, account, movesOf(fills.map(({ fill }) => fill))),
    payCash(
      db,
      account,
      fills.map(({ cost }) => cost),
    ),
    setOutcomes(
      db,
      account,
      fills.map(({ fill }) => fill.orderId),
      "filled",
    ),
  ]);
}

/** Signed lots that a sub-account gains. */
export interface HoldingMove {
  readonly instrument: string;
  readonly book: string;
  readonly lots: number;
}

/** One move a sub-account and instrument: a statement may not touch a row twice. */
export function movesOf(moves: readonly HoldingMove[]): HoldingMove[] {
  const sums = new Map<string, HoldingMove>();
  for (const { instrument, book, lots } of moves) {
    const key = `${instrument}\n${book}`;
    sums.set(key, { instrument, book, lots: lots + (sums.get(key)?.lots ?? 0) });
  }
  return [...sums.values()];
}

/** Adds signed lots to sub-accounts, one move each. */
export function moveHoldings(
  db: Queryable,
  account: string,
  moves: readonly HoldingMove[],
): Promise<void> {
  return queryRows(
    db,
    ["text", "text", "text", "bigint"],
    moves.map(({ instrument, book, lots }) => [account, instrument, book, lots]),
    (list) =>
      `INSERT INTO paper.holding AS h (account_id, instrument, book, lots) VALUES ${list}
       ON CONFLICT (account_id, instrument, book) DO UPDATE SET lots = h.lots + excluded.lots`,
  );
}

/** Costs in one statement at most. */
const costsAtOnceMax = 16;

/** Takes costs out, one after the other as memory does: the rest must come out the same to the last bit. */
async function payCash(db: Queryable, account: string, costs: readonly number[]): Promise<void> {
  const paying: Promise<unknown>[] = [];
  for (let at = 0; at < costs.length; at += costsAtOnceMax) {
    const part = costs.slice(at, at + costsAtOnceMax);
    const terms = part.map((_, index) => ` - $${index + 2}::double precision`).join("");
    const sql = `UPDATE paper.cash SET cash = cash${terms} WHERE account_id = $1`;
    paying.push(db.query(sql, [account, ...part]));
  }
  await Promise.all(paying);
}

/** Says what became of orders. */
export async function setOutcomes(
  db: Queryable,
  account: string,
  orderIds: readonly string[],
  outcome: "filled" | "cancelled",
): Promise<void> {
  if (orderIds.length === 0) return;
  await db.query(
    "UPDATE paper.accepted_order SET outcome = $3 WHERE account_id = $1 AND order_id = ANY($2::text[])",
    [account, [...orderIds], outcome],
  );
}

const BAR = [
  "text",
  "text",
  "bigint",
  "bigint",
  "bigint",
  ...Array<string>(4).fill("double precision"),
];

/** Stores bars; one that is there already stays as it is. */
export function insertBars(
  db: Queryable,
  account: string,
  bars: readonly BrokerBar[],
): Promise<void> {
  const rows = bars.map((bar) => [
    ...[account, bar.instrument, bar.row, bar.openTimeMs, bar.bucketEndMs],
    ...[bar.open, bar.high, bar.low, bar.close],
  ]);
  return queryRows(
    db,
    BAR,
    rows,
    (list) =>
      `INSERT INTO paper.bar (account_id, instrument, source_row, open_time_ms, bucket_end_ms, open, high, low,
         close) VALUES ${list} ON CONFLICT DO NOTHING`,
  );
}

/** Deletes bars of instruments that are older than the last `storedBarsMax` of each. */
export async function forgetBars(
  db: Queryable,
  account: string,
  instruments: readonly string[],
): Promise<void> {
  const forgetting = instruments.map((instrument) =>
    db.query(
      `DELETE FROM paper.bar WHERE account_id = $1 AND instrument = $2 AND bucket_end_ms <
         (SELECT bucket_end_ms FROM paper.bar WHERE account_id = $1 AND instrument = $2
          ORDER BY bucket_end_ms DESC OFFSET ${storedBarsMax - 1} LIMIT 1)`,
      [account, instrument],
    ),
  );
  await Promise.all(forgetting);
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
  open_time_ms: number;
  bucket_end_ms: number;
  open: number;
  high: number;
  low: number;
  close: number;
}

function barOf(bar: BarRecord): BrokerBar {
  const { instrument, open, high, low, close } = bar;
  const { source_row: row, open_time_ms: openTimeMs, bucket_end_ms: bucketEndMs } = bar;
  return { instrument, row, openTimeMs, bucketEndMs, open, high, low, close };
}
