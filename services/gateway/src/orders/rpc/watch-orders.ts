import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WatchOrdersResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { OrderPath } from "../order-path.ts";
import { ordersOf, readJournal } from "../store/journal-store.ts";
import { listOrders, type OrderFilter, readOrders } from "../store/order-table.ts";
import { instrumentsOf, orderMessage } from "./order-messages.ts";

type Answer = MessageInitShape<typeof WatchOrdersResponseSchema>;

const pageRows = 500;

/** Account → its last journal entry that the reader has received. */
type Heads = Map<string, number>;

/**
 * First the working orders, page by page, then each order after a change; from a cursor, only what changed since,
 * without gaps. An order is shown as it is when it is read: a change may be combined with the next. An empty answer
 * shows that the stream is alive.
 *
 * Throws PAGE_TOKEN_INVALID for a cursor of another filter; TRIMMED for one beyond the end of a journal, which then is
 * not the journal it was made from.
 */
export async function* watchOrders(
  orders: OrderPath,
  filter: OrderFilter,
  cursor: string,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  const { db } = orders;
  const accounts = [...orders.accounts.ids()].filter(
    (account) => filter.account === "" || account === filter.account,
  );
  // Subscribed before anything is read, so that no entry is missed in between.
  const stream = orders.journal.watchAll(accounts);
  if (signal.aborted) stream.end();
  else signal.addEventListener("abort", () => stream.end(), { once: true });
  const isWanted = (order: { account: string; world: string; strategy: string }): boolean =>
    (filter.account === "" || order.account === filter.account) &&
    (filter.world === "" || order.world === filter.world) &&
    (filter.strategy === "" || order.strategy === filter.strategy);
  const told = async (ids: ReadonlySet<string>): Promise<NonNullable<Answer["orders"]>> => {
    if (ids.size === 0) return [];
    const changed = await readOrders(db, [...ids]);
    return changed
      .filter(isWanted)
      .map((order) => orderMessage(instrumentsOf(orders, order), order));
  };
  try {
    const heads: Heads = cursor === "" ? new Map() : readCursor(cursor, filter);
    if (cursor === "") {
      for (const account of accounts) heads.set(account, orders.accounts.get(account)?.head ?? 0);
      yield* initialOrders(orders, filter, () => cursorOf(filter, heads));
    }
    for (const account of accounts) {
      const head = orders.accounts.get(account)?.head ?? 0;
      if ((heads.get(account) ?? 0) > head) throw trimmed(account);
      for (;;) {
        const rows = await readJournal(db, account, heads.get(account) ?? 0, pageRows);
        const changed = await told(
          new Set(rows.flatMap((row) => ordersOf(JSON.parse(row.bodyJson)))),
        );
        heads.set(account, rows.at(-1)?.entry ?? heads.get(account) ?? 0);
        if (changed.length > 0) yield { orders: changed, cursor: cursorOf(filter, heads) };
        if (rows.length < pageRows) break;
      }
    }
    for await (const { account, rows } of stream) {
      const fresh = rows.filter(({ entry }) => entry > (heads.get(account) ?? 0));
      const changed = await told(
        new Set(fresh.flatMap((row) => ordersOf(JSON.parse(row.bodyJson)))),
      );
      const last = fresh.at(-1)?.entry;
      if (last !== undefined) heads.set(account, last);
      if (changed.length > 0 || rows.length === 0)
        yield { orders: changed, cursor: cursorOf(filter, heads) };
    }
  } finally {
    stream.end();
  }
}

async function* initialOrders(
  orders: OrderPath,
  filter: OrderFilter,
  cursor: () => string,
): AsyncGenerator<Answer> {
  for (let after = 0; ; ) {
    const rows = await listOrders(orders.db, { ...filter, workingOnly: true }, after, pageRows + 1);
    const page = rows
      .slice(0, pageRows)
      .map((order) => orderMessage(instrumentsOf(orders, order), order));
    const isEnd = rows.length <= pageRows;
    yield {
      orders: page,
      initial: true,
      initialEnd: isEnd,
      ...(isEnd ? { cursor: cursor() } : {}),
    };
    if (isEnd) return;
    after = rows[pageRows - 1]?.position ?? after;
  }
}

/** Opaque to clients: the filter it belongs to and the last entry of each account. */
function cursorOf(filter: OrderFilter, heads: Heads): string {
  return Buffer.from(JSON.stringify([filterKey(filter), [...heads]])).toString("base64url");
}

function readCursor(cursor: string, filter: OrderFilter): Heads {
  const [key, heads] = partsOf(cursor);
  const isHeads =
    Array.isArray(heads) &&
    heads.every(
      (each) => Array.isArray(each) && typeof each[0] === "string" && Number.isSafeInteger(each[1]),
    );
  if (key === filterKey(filter) && isHeads) return new Map(heads as [string, number][]);
  throw new QmtlError("PAGE_TOKEN_INVALID", "the cursor is not of a stream with this filter", {
    fields: [{ field: "cursor", description: "must be of a stream with the same filter" }],
  });
}

function partsOf(cursor: string): unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    return Array.isArray(parts) ? parts : [];
  } catch {
    return [];
  }
}

const filterKey = ({ account, world, strategy }: OrderFilter): string =>
  JSON.stringify([account, world, strategy]);

function trimmed(account: string): QmtlError {
  return new QmtlError("TRIMMED", `the journal of ${account} no longer reaches back that far`, {
    metadata: { account_id: account },
  });
}
