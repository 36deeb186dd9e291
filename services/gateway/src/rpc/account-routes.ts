import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type AccountSchema,
  AccountService,
  type JournalEntrySchema,
  type PositionSchema,
  type WatchJournalResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { blake3Hex, jcs } from "@qmtl/sdk/canonical";
import { type Handlers, requireRole, type ServedService, serve } from "@qmtl/service-kit";
import { type PositionView, viewPositions } from "../account/account-view.ts";
import { bookAdjustment } from "../account/book-adjustment.ts";
import type { AccountRouter } from "../router/account-router.ts";
import { type JournalEntryRow, readJournal } from "../router/journal-store.ts";
import type { GatewayOrders } from "../router/order-path.ts";
import { decimalOf } from "./order-decimal.ts";

const pageDefault = 100;
const watchPage = 1_000;

/** AccountService over the order path. */
export function accountRoutes(orders: GatewayOrders): ServedService {
  return serve(AccountService, accountHandlers(orders));
}

/** Its methods. */
export function accountHandlers(orders: GatewayOrders) {
  return {
    async getAccount({ accountId }) {
      return { account: accountToProto(orders, orders.routerOfAccount(accountId)) };
    },
    async listAccounts() {
      const routers = [...orders.accounts.values()].sort((a, b) =>
        a.account < b.account ? -1 : 1,
      );
      return { accounts: routers.map((router) => accountToProto(orders, router)) };
    },
    async getLimits({ accountId }) {
      const { limits } = orders.routerOfAccount(accountId).deps.settings;
      const { orderNotionalMax, grossNotionalMax } = limits;
      return {
        limits: {
          ...(orderNotionalMax === undefined
            ? {}
            : { maxOrderNotional: decimalOf(orderNotionalMax) }),
          ...(grossNotionalMax === undefined ? {} : { maxGross: decimalOf(grossNotionalMax) }),
        },
        etag: blake3Hex(jcs(limits)).slice(0, 16),
      };
    },
    async listPositions({ accountId, worldId }) {
      const routers =
        accountId === "" ? [...orders.accounts.values()] : [orders.routerOfAccount(accountId)];
      const views = await Promise.all(
        routers.map((router) => router.exclusive(() => viewPositions(router, worldId))),
      );
      return { positions: views.flat().map(positionToProto) };
    },
    async reconcile({ accountId }, context) {
      requireRole(context, "owner", "operator");
      const done = await orders.reconcile(orders.routerOfAccount(accountId));
      return { ...done, reconciled: done.difference === "" };
    },
    async bookAdjustment(request, context) {
      requireRole(context, "owner", "operator");
      const router = orders.routerOfAccount(request.accountId);
      const { instrument, reason, requestId } = request;
      const quantity = request.quantity?.value || "0";
      const requestHash = blake3Hex(jcs({ account: router.account, instrument, quantity, reason }));
      const principal = context.principal.name;
      const order = { instrument, quantity, reason, requestId, requestHash, principal };
      const entry = await router.exclusive(() => bookAdjustment(router, order));
      await router.exclusive(() => orders.catchUp(router));
      return { entry: BigInt(entry) };
    },
    async listJournal(request) {
      const router = orders.routerOfAccount(request.accountId);
      const limit = request.pageSize === 0 ? pageDefault : request.pageSize;
      const after = Number(request.afterEntry);
      const rows = await readJournal(
        orders.deps.db,
        router.account,
        after,
        limit + 1,
        request.kinds,
      );
      const page = rows.slice(0, limit);
      return {
        entries: page.map((row) => entryToProto(router.account, row)),
        atEnd: rows.length <= limit,
      };
    },
    watchJournal: (request, context) =>
      watchJournal(
        orders,
        orders.routerOfAccount(request.accountId),
        Number(request.afterEntry),
        context.signal,
      ),
  } satisfies Handlers<typeof AccountService>;
}

/** What is stored after an entry, then what comes, each entry once and in order. */
async function* watchJournal(
  orders: GatewayOrders,
  router: AccountRouter,
  afterEntry: number,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof WatchJournalResponseSchema>> {
  const { account } = router;
  const stream = orders.journal.watch(account);
  signal.addEventListener("abort", () => stream.end(), { once: true });
  let head = afterEntry;
  const answer = (rows: readonly JournalEntryRow[]) => {
    const fresh = rows.filter((row) => row.entry > head);
    head = fresh.at(-1)?.entry ?? head;
    return { entries: fresh.map((row) => entryToProto(account, row)) };
  };
  try {
    for (;;) {
      const rows = await readJournal(orders.deps.db, account, head, watchPage);
      if (rows.length > 0) yield answer(rows);
      if (rows.length < watchPage) break;
    }
    for await (const rows of stream) {
      if (rows.some((row) => row.entry > head)) yield answer(rows);
    }
  } finally {
    stream.end();
  }
}

function accountToProto(
  orders: GatewayOrders,
  router: AccountRouter,
): MessageInitShape<typeof AccountSchema> {
  const { core, account, deps, difference } = router;
  const worlds = [...orders.worlds.values()].filter((world) => world.accountId === account);
  return {
    accountId: account,
    broker: deps.settings.broker,
    currency: deps.settings.currency,
    cash: decimalOf(core.cash),
    equity: decimalOf(core.equity()),
    revision: BigInt(router.head),
    reconciled: difference === "",
    difference,
    reconcileTimeMs: BigInt(router.reconcileTimeMs),
    worldIds: worlds.map((world) => world.worldId).sort(),
  };
}

function positionToProto(view: PositionView): MessageInitShape<typeof PositionSchema> {
  const { mark, capital, target, brokerQuantity } = view;
  return {
    accountId: view.account,
    worldId: view.world,
    strategyId: view.strategy,
    instrument: view.instrument,
    quantity: { value: view.quantity },
    averageCost: decimalOf(view.averageCost),
    realisedPnl: decimalOf(view.realisedPnl),
    costs: decimalOf(view.costs),
    ...(mark === undefined ? {} : { mark: decimalOf(mark) }),
    ...(capital === undefined ? {} : { capital: decimalOf(capital) }),
    ...(target === undefined ? {} : { target }),
    ...(brokerQuantity === undefined ? {} : { brokerQuantity: { value: brokerQuantity } }),
  };
}

function entryToProto(
  account: string,
  row: JournalEntryRow,
): MessageInitShape<typeof JournalEntrySchema> {
  return {
    entry: BigInt(row.entry),
    accountId: account,
    kind: row.kind,
    worldId: row.worldId,
    strategyId: row.strategyId,
    row: BigInt(row.row),
    bodyJson: row.bodyJson,
    timeMs: BigInt(row.timeMs),
  };
}
