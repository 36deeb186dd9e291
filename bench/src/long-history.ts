import { jcs } from "@qmtl/core/canonical";
import type { AccountOp, RouterOrder } from "@qmtl/core/execution";
import type { Db } from "@qmtl/service-kit/db";
import { booksFromJournal } from "../../services/gateway/src/orders/testing/books-text.ts";
import {
  bucketOf,
  type OrderBench,
} from "../../services/gateway/src/orders/testing/order-bench.ts";

const account = "paper";
const book = { world: "w1", strategy: "A", instrument: "SPX" };
/** Most rows in one statement. */
const rowsMax = 5_000;

/** A row of a table, by column. */
type Row = Readonly<Record<string, string | number | boolean>>;

/** How far a history was written. */
export interface HistoryEnd {
  /** Last bar. */
  readonly row: number;
  /** Fills so far. */
  readonly fills: number;
}

/**
 * Writes what the order path would have stored by the time the account's journal has `entries` entries, with an order
 * and a fill per bar: journal and orders, and the paper broker's own books. The order path is stopped meanwhile.
 *
 * @param since where the history before it ended, which it continues
 * @returns where it ended
 */
export async function writeHistory(
  path: OrderBench,
  paper: Db,
  entries: number,
  since: HistoryEnd = { row: 0, fills: 0 },
): Promise<HistoryEnd> {
  const { core, last } = await booksFromJournal(path);
  const journal: Row[] = [];
  const orders: Row[] = [];
  const accepted: Row[] = [];
  const executions: Row[] = [];
  let head = last?.entry ?? 0;
  const tell = (kind: string, row: number, body: object): void => {
    const place = kind === "bar" || kind === "seal" ? ["", ""] : [book.world, book.strategy];
    head += 1;
    journal.push({
      ...{ account_id: account, entry: head, kind, world_id: place[0]!, strategy_id: place[1]! },
      ...{ source_row: row, body: jcs(body), time_ms: bucketOf(row) },
    });
  };
  const apply = (kind: string, row: number, op: AccountOp, more: object = {}) => {
    const outcome = core.apply(op);
    tell(kind, row, { ...op, ...more });
    return outcome;
  };
  const context = { fence: 1, decisionId: "d", sessionId: "s", domain: "dryrun" };
  const send = (order: Readonly<RouterOrder>, row: number): void => {
    tell("order", row, { op: "note", order: { ...order }, context: { ...context, row } });
    const state = { op: "state", order: order.id, state: "accepted", reason: "" } as const;
    apply("order_state", row, state);
    const { id, lots, bucket } = order;
    orders.push({
      ...{ client_order_id: id, account_id: account, ...idsOf(), lots, filled_lots: lots },
      ...{ state: "filled", origin: "target", reduce_only: order.reduceOnly, side: order.side },
      ...{ opening: order.opening, source_row: row, bucket_end_ms: bucket, fence: 1 },
      ...{ decision_id: "d", session_id: "s", domain: "dryrun", create_time_ms: bucket },
    });
    accepted.push({
      ...{ account_id: account, order_id: id, ...idsOf(), lots, bucket_end_ms: bucket },
      ...{ reduce_only: order.reduceOnly, fence: 1, decision_id: "d", origin: "target" },
      ...{ accepted_ms: bucket, outcome: "filled" },
    });
  };
  const fill = ({ id: orderId, lots }: Readonly<RouterOrder>, row: number, price: number): void => {
    const executionId = `${orderId}:${row}`;
    const report = { orderId, executionId, lots, price, fee: 1 };
    apply("fill", row, { op: "fill", fill: report });
    executions.push({
      ...{
        account_id: account,
        sequence: since.fills + executions.length + 1,
        execution_id: executionId,
      },
      ...{ order_id: orderId, instrument: book.instrument, lots, price, fee: 1 },
      ...{ source_row: row, bucket_end_ms: bucketOf(row) },
    });
  };
  let row = since.row + 1;
  for (; head < entries; row += 1) {
    const close = 2_000 + (row % 7);
    const bucket = bucketOf(row);
    for (const order of core.openOrders()) fill(order, row, close);
    const marks = [{ instrument: book.instrument, close }];
    apply("bar", row, { op: "bar", bucket, marks } as const, { source: "sp500", row });
    const seal = { op: "seal", bucket, instruments: [book.instrument] } as const;
    apply("seal", row, seal);
    const value = row % 2 === 0 ? 0.25 : 0.75;
    const target = { op: "set_target", ...book, value, bucket, mark: close, act: true } as const;
    const { effects } = apply("target", row, target, { session: "s", reason: "" });
    for (const effect of effects) if (effect.kind === "send") send(effect.order, row);
  }
  // The last order is filled, so that all of them have ended.
  for (const order of core.openOrders()) fill(order, row, 2_000);
  await writeRows(path.db, "gateway.journal", journal);
  await writeRows(path.db, "gateway.client_order", orders);
  await writeRows(paper, "paper.accepted_order", accepted);
  await writeRows(paper, "paper.execution", executions);
  const lots = core.book(book)?.quantity ?? 0;
  await paper.query("DELETE FROM paper.holding");
  await writeRows(paper, "paper.holding", [
    { account_id: account, instrument: book.instrument, book: "w1/A", lots },
  ]);
  await paper.query("UPDATE paper.cash SET cash = $1", [core.cash]);
  return { row, fills: since.fills + executions.length };
}

const idsOf = () => ({
  world_id: book.world,
  strategy_id: book.strategy,
  instrument: book.instrument,
});

async function writeRows(db: Db, table: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {}).join(", ");
  for (let at = 0; at < rows.length; at += rowsMax) {
    await db.query(
      `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`,
      [JSON.stringify(rows.slice(at, at + rowsMax))],
    );
  }
}
