import type { SimulatedBrokerSnapshot, SimulatedFill } from "@qmtl/core/execution";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import { rowsStatement, rowsTogetherMax, type SqlWrite, type Writes } from "../../store/writes.ts";
import type { BrokerBar, BrokerFill, BrokerOrder } from "./broker-port.ts";
import { type OrderRecord, workingOf } from "./order-record.ts";

/** Bars kept per instrument, for orders that arrive late. */
export const paperBarsMax = 64;
/** Bars stored per instrument: one more, whose end shows which orders come too late. */
const storedBarsMax = paperBarsMax + 1;
/** Finished orders the broker remembers in memory; the table keeps all. */
const finishedMax = 10_000;

/** What is in the tables of one account. */
interface PaperState {
  readonly snapshot: SimulatedBrokerSnapshot;
  readonly sequence: number;
  /** Orders whose reply was lost and whose fill is not to be reported. */
  readonly lost: ReadonlySet<string>;
  /** The fence registered last, by world. */
  readonly fences: ReadonlyMap<string, number>;
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
  const finished = await db.query<
    Pick<OrderRecord, "order_id" | "report_lost"> & { outcome: "filled" | "cancelled" }
  >(
    `SELECT order_id, outcome, report_lost FROM (SELECT * FROM paper.accepted_order
       WHERE account_id = $1 AND outcome IS NOT NULL ORDER BY position DESC LIMIT ${finishedMax}) t
     ORDER BY position`,
    [account],
  );
  // All of them, however old: one that is forgotten would never be filled.
  const working = await db.query<OrderRecord>(
    "SELECT * FROM paper.accepted_order WHERE account_id = $1 AND outcome IS NULL ORDER BY position",
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
  const fences = await db.query<WorldFence>("SELECT world_id, fence FROM paper.world_fence");
  return {
    fences: new Map(fences.map(({ world_id, fence }) => [world_id, fence])),
    snapshot: {
      version: 3,
      cash: cash?.cash ?? initialCash,
      working: working.map(workingOf),
      finished: finished.map(({ order_id, outcome }) => [order_id, outcome] as const),
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
    sequence: last?.sequence ?? 0,
    lost: new Set(
      [...finished, ...working].flatMap((order) => (order.report_lost ? [order.order_id] : [])),
    ),
  };
}

/** Raises the fence of a world; resolves to the one that is registered now. */
export async function writeFence(db: Queryable, worldId: string, fence: number): Promise<number> {
  const [row] = await db.query<Pick<WorldFence, "fence">>(
    `INSERT INTO paper.world_fence AS f (world_id, fence) VALUES ($1, $2)
     ON CONFLICT (world_id) DO UPDATE SET fence = greatest(f.fence, excluded.fence) RETURNING fence`,
    [worldId, fence],
  );
  return row!.fence;
}

interface WorldFence {
  world_id: string;
  fence: number;
}

/** True while worlds have the fences `wanted` of them; `isLocking`: none changes until the statement is stored. */
export function fencesStand(wanted: ReadonlyMap<string, number>, isLocking: boolean): SqlWrite {
  return {
    sql: isLocking ? standLocked : stand,
    params: [[...wanted.keys()], [...wanted.values()], wanted.size],
  };
}

const standing = `FROM paper.world_fence AS f
  JOIN unnest($1::text[], $2::bigint[]) AS w (world_id, fence) USING (world_id, fence)`;
const stand = `(SELECT count(*) ${standing}) = $3::int`;
const standLocked = `(SELECT count(*) FROM (SELECT ${standing} FOR SHARE OF f) AS held) = $3::int`;

/** The same, compared in a transaction; no fence of them changes until it ends. */
export async function haveFences(tx: Tx, wanted: ReadonlyMap<string, number>): Promise<boolean> {
  const rows = await tx.query<WorldFence>(
    `SELECT world_id, fence FROM paper.world_fence WHERE world_id = ANY($1::text[]) ORDER BY world_id FOR SHARE`,
    [[...wanted.keys()]],
  );
  const found = new Map(rows.map(({ world_id, fence }) => [world_id, fence]));
  return [...wanted].every(([worldId, fence]) => found.get(worldId) === fence);
}

/** What became of an order. */
type PaperOutcome = "filled" | "cancelled";

/** An order that was taken in; its outcome is null while it works. */
export interface AcceptedOrder {
  readonly order: BrokerOrder;
  readonly reportLost: boolean;
  readonly outcome: PaperOutcome | null;
}

const insertOrders = rowsStatement(
  [
    ...["text", "text", "text", "text", "text", "bigint", "bigint", "boolean", "bigint", "text"],
    ...["text", "bigint", "boolean", "text", "double precision", "text", "integer"],
  ],
  (rows) =>
    `INSERT INTO paper.accepted_order (account_id, order_id, world_id, strategy_id, instrument, lots,
       bucket_end_ms, reduce_only, fence, decision_id, origin, accepted_ms, report_lost, order_type, price, outcome)
     SELECT r.column1, r.column2, r.column3, r.column4, r.column5, r.column6, r.column7, r.column8, r.column9,
       r.column10, r.column11, r.column12, r.column13, r.column14, r.column15, r.column16
     FROM (${rows}) AS r WHERE r.column1 IS NOT NULL ORDER BY r.column17`,
);

/** Stores orders that were taken in, in order. */
export function addAccepted(
  writes: Writes,
  account: string,
  accepted: readonly AcceptedOrder[],
  nowMs: number,
): void {
  writes.addRows(
    insertOrders,
    accepted.map(({ order, reportLost, outcome }, at) => [
      ...[account, order.id, order.world, order.strategy, order.instrument, order.lots],
      ...[order.bucket, order.reduceOnly, order.fence, order.decisionId, order.origin, nowMs],
      ...[reportLost, order.terms?.type ?? "market", order.terms?.price ?? null, outcome, at],
    ]),
  );
}

/** A fill with its number, and what it costs in cash. */
export interface NumberedFill {
  readonly sequence: number;
  readonly fill: SimulatedFill;
  readonly cost: number;
}

const insertExecutions = rowsStatement(
  [
    ...["text", "bigint", "text", "text", "text", "bigint"],
    ...["double precision", "double precision", "bigint", "bigint"],
  ],
  (rows) =>
    `INSERT INTO paper.execution (account_id, sequence, execution_id, order_id, instrument, lots, price, fee,
       source_row, bucket_end_ms) SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL`,
);

/** Stores fills with their effect on positions and cash. */
export function addFills(writes: Writes, account: string, fills: readonly NumberedFill[]): void {
  if (fills.length === 0) return;
  writes.addRows(
    insertExecutions,
    fills.map(({ sequence, fill }) => [
      ...[account, sequence, fill.executionId, fill.orderId, fill.instrument, fill.lots],
      ...[fill.price, fill.fee, fill.row, fill.bucketEndMs],
    ]),
  );
  addMoves(writes, account, movesOf(fills.map(({ fill }) => fill)));
  addCosts(
    writes,
    account,
    fills.map(({ cost }) => cost),
  );
}

/** Signed lots that a sub-account gains. */
interface HoldingMove {
  readonly instrument: string;
  readonly book: string;
  readonly lots: number;
}

/** One move per sub-account and instrument: a statement may not touch a row twice. */
export function movesOf(moves: readonly HoldingMove[]): HoldingMove[] {
  const sums = new Map<string, HoldingMove>();
  for (const { instrument, book, lots } of moves) {
    const key = `${instrument}\n${book}`;
    sums.set(key, { instrument, book, lots: lots + (sums.get(key)?.lots ?? 0) });
  }
  return [...sums.values()];
}

const moveHoldings = rowsStatement(
  ["text", "text", "text", "bigint"],
  (rows) =>
    `INSERT INTO paper.holding AS h (account_id, instrument, book, lots)
     SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL
     ON CONFLICT (account_id, instrument, book) DO UPDATE SET lots = h.lots + excluded.lots`,
);

/** Adds signed lots to sub-accounts, one move each. */
export function addMoves(writes: Writes, account: string, moves: readonly HoldingMove[]): void {
  const rows = moves.map(({ instrument, book, lots }) => [account, instrument, book, lots]);
  writes.addRows(moveHoldings, rows);
}

/**
 * Subtracts costs one after the other, as memory does, so that the remaining cash is the same to the last bit. Costs of 0
 * fill up, so that there are few statements.
 */
function addCosts(writes: Writes, account: string, costs: readonly number[]): void {
  for (let at = 0; at < costs.length; at += rowsTogetherMax) {
    const part = costs.slice(at, at + rowsTogetherMax);
    while (!Number.isInteger(Math.log2(part.length))) part.push(0);
    const terms = part.map((_, index) => ` - $${index + 2}::double precision`).join("");
    writes.add(`UPDATE paper.cash SET cash = cash${terms} WHERE account_id = $1`, [
      account,
      ...part,
    ]);
  }
}

/** Stores an outcome of orders that were taken in before. */
export function addOutcomes(
  writes: Writes,
  account: string,
  orderIds: readonly string[],
  outcome: PaperOutcome,
): void {
  if (orderIds.length === 0) return;
  writes.add(
    "UPDATE paper.accepted_order SET outcome = $3 WHERE account_id = $1 AND order_id = ANY($2::text[])",
    [account, [...orderIds], outcome],
  );
}

const insertBars = rowsStatement(
  ["text", "text", "bigint", "bigint", "bigint", ...Array<string>(4).fill("double precision")],
  (rows) =>
    `INSERT INTO paper.bar (account_id, instrument, source_row, open_time_ms, bucket_end_ms, open, high, low, close)
     SELECT * FROM (${rows}) AS r WHERE r.column1 IS NOT NULL ON CONFLICT DO NOTHING`,
);

/** Stores bars; one that is there already stays as it is. */
export function addBars(writes: Writes, account: string, bars: readonly BrokerBar[]): void {
  writes.addRows(
    insertBars,
    bars.map((bar) => [
      ...[account, bar.instrument, bar.row, bar.openTimeMs, bar.bucketEndMs],
      ...[bar.open, bar.high, bar.low, bar.close],
    ]),
  );
}

/** Deletes bars of instruments that are older than the last `storedBarsMax` of each. */
export function addForgetting(
  writes: Writes,
  account: string,
  instruments: readonly string[],
): void {
  writes.add(
    `DELETE FROM paper.bar b USING (SELECT i.instrument, (SELECT bucket_end_ms FROM paper.bar
         WHERE account_id = $1 AND instrument = i.instrument
         ORDER BY bucket_end_ms DESC OFFSET ${storedBarsMax - 1} LIMIT 1) AS kept_ms
       FROM unnest($2::text[]) AS i (instrument)) AS k
     WHERE b.account_id = $1 AND b.instrument = k.instrument AND b.bucket_end_ms < k.kept_ms`,
    [account, [...instruments]],
  );
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
