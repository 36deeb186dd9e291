import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AccountService,
  type WatchJournalResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  AccountKind,
  type AccountSchema,
  type JournalEntrySchema,
  JournalKind,
  type PositionSchema,
  type RuinSchema,
} from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { blake3Hex, jcs } from "@qmtl/core/canonical";
import type { AccountRuin } from "@qmtl/core/execution";
import {
  cutPage,
  type Handlers,
  makePageToken,
  pageSizeOf,
  readPageToken,
  type ServedService,
  serve,
} from "@qmtl/service-kit";
import type { AccountRouter } from "../account/account-router.ts";
import { type PositionView, viewPositions } from "../account/account-view.ts";
import { bookAdjustment } from "../account/book-adjustment.ts";
import type { OrderPath } from "../order-path.ts";
import type { JournalKind as StoredKind } from "../store/journal-op.ts";
import { type JournalEntryRow, readJournal } from "../store/journal-store.ts";
import { namingField } from "./naming-field.ts";
import { decimalOf } from "./order-decimal.ts";

const positionPages = { usual: 1_000, max: 5_000 };
const watchPage = 1_000;

/** AccountService over the order path. */
export function accountRoutes(orders: OrderPath): ServedService {
  return serve(AccountService, accountHandlers(orders));
}

export function accountHandlers(orders: OrderPath) {
  const routerOf = (accountId: string): Promise<AccountRouter> =>
    namingField("account_id", () => orders.accounts.of(accountId));
  return {
    async getAccount({ accountId }) {
      return { account: accountToProto(orders, await routerOf(accountId)) };
    },
    async listAccounts({ pageSize, pageToken }) {
      const filters = { method: "AccountService.ListAccounts" };
      const nowMs = orders.clock.nowMs();
      const [after = ""] = readPageToken(pageToken, filters, ["string"], nowMs) ?? [];
      const size = pageSizeOf(pageSize);
      const routers = [...orders.accounts.all()]
        .filter(({ account }) => account > after)
        .sort((a, b) => (a.account < b.account ? -1 : 1));
      const { page, nextPageToken } = cutPage(routers, size, ({ account }) =>
        makePageToken(filters, [account], nowMs),
      );
      return { accounts: page.map((router) => accountToProto(orders, router)), nextPageToken };
    },
    async listPositions({ accountId, worldId, pageSize, pageToken }) {
      const filters = { method: "AccountService.ListPositions", accountId, worldId };
      const nowMs = orders.clock.nowMs();
      const [from = 0] = readPageToken(pageToken, filters, ["number"], nowMs) ?? [];
      const size = pageSizeOf(pageSize, positionPages);
      if (worldId !== "")
        await namingField("world_id", () =>
          orders.subjects.check({ scope: "world", target: worldId }),
        );
      const routers = accountId === "" ? [...orders.accounts.all()] : [await routerOf(accountId)];
      const views = await Promise.all(
        routers.map((router) => router.exclusive(() => viewPositions(router, worldId))),
      );
      const rest = views.flat().slice(from);
      const { page, nextPageToken } = cutPage(rest, size, () =>
        makePageToken(filters, [from + size], nowMs),
      );
      return { positions: page.map(positionToProto), nextPageToken };
    },
    async reconcile({ accountId }) {
      const done = await orders.reconcile(await routerOf(accountId));
      return { ...done, reconciled: done.difference === "" };
    },
    async bookAdjustment(request, context) {
      const router = await routerOf(request.accountId);
      const { instrument, reason, requestId } = request;
      const quantity = request.quantity?.value || "0";
      const requestHash = blake3Hex(jcs({ account: router.account, instrument, quantity, reason }));
      const principal = context.principal.name;
      const order = { instrument, quantity, reason, requestId, requestHash, principal };
      const entry = await router.exclusive(() => bookAdjustment(router, order));
      await router.exclusive(() => orders.catchUp(router));
      return { entry: BigInt(entry) };
    },
    async listJournal({ accountId, afterEntry, kinds, pageSize, pageToken }) {
      const { account } = await routerOf(accountId);
      const filters = { method: "AccountService.ListJournal", accountId, afterEntry, kinds };
      const nowMs = orders.clock.nowMs();
      const [after = Number(afterEntry)] =
        readPageToken(pageToken, filters, ["number"], nowMs) ?? [];
      const size = pageSizeOf(pageSize);
      const wanted = storedKinds(kinds);
      const rows = await readJournal(orders.db, account, after, size + 1, wanted);
      const { page, nextPageToken } = cutPage(rows, size, ({ entry }) =>
        makePageToken(filters, [entry], nowMs),
      );
      return { entries: page.map((row) => entryToProto(account, row)), nextPageToken };
    },
    async *watchJournal({ accountId, afterEntry, kinds }, { signal }) {
      const from = { afterEntry: Number(afterEntry), kinds: storedKinds(kinds) };
      yield* watchJournal(orders, await routerOf(accountId), from, signal);
    },
  } satisfies Handlers<typeof AccountService>;
}

/**
 * The stored entries after `afterEntry`, then new ones, each once and in order; an empty answer shows that the stream
 * is alive.
 */
async function* watchJournal(
  orders: OrderPath,
  router: AccountRouter,
  { afterEntry, kinds }: { readonly afterEntry: number; readonly kinds: readonly string[] },
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof WatchJournalResponseSchema>> {
  const { account } = router;
  const stream = orders.journal.watch(account);
  if (signal.aborted) stream.end();
  else signal.addEventListener("abort", () => stream.end(), { once: true });
  let head = afterEntry;
  const answer = (rows: readonly JournalEntryRow[]) => {
    const fresh = rows.filter((row) => row.entry > head);
    head = fresh.at(-1)?.entry ?? head;
    const wanted = fresh.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind));
    return { entries: wanted.map((row) => entryToProto(account, row)), lastEntry: BigInt(head) };
  };
  try {
    for (;;) {
      const rows = await readJournal(orders.db, account, head, watchPage);
      if (rows.length > 0) yield answer(rows);
      if (rows.length < watchPage) break;
    }
    for await (const { rows } of stream) {
      if (rows.length === 0 || rows.some((row) => row.entry > head)) yield answer(rows);
    }
  } finally {
    stream.end();
  }
}

function accountToProto(
  orders: OrderPath,
  router: AccountRouter,
): MessageInitShape<typeof AccountSchema> {
  const { core, account, deps, difference } = router;
  const worlds = [...orders.worlds.values()].filter((world) => world.accountId === account);
  return {
    accountId: account,
    broker: deps.settings.broker,
    // The only broker there is simulates.
    kind: AccountKind.PAPER,
    limits: limitsToProto(router),
    currency: deps.settings.currency,
    cash: decimalOf(core.cash),
    equity: decimalOf(core.equity()),
    financing: {
      interest: decimalOf(core.financed.interest),
      borrowFees: decimalOf(core.financed.borrowFees),
      funding: decimalOf(core.financed.funding),
    },
    revision: BigInt(router.head),
    reconciled: difference === "",
    difference,
    ...(router.reconcileTimeMs === 0
      ? {}
      : { reconcileTime: timestampFromMs(router.reconcileTimeMs) }),
    worldIds: worlds.map((world) => world.worldId).sort(),
    ...(core.ruin === undefined ? {} : { ruin: ruinToProto(core.ruin) }),
  };
}

/** A ruin on the wire; what is not known is absent. */
export function ruinToProto({
  timeMs,
  equity,
}: Readonly<AccountRuin>): MessageInitShape<typeof RuinSchema> {
  return {
    ...(Number.isNaN(timeMs) ? {} : { ruinTime: timestampFromMs(timeMs) }),
    ...(Number.isNaN(equity) ? {} : { equity: decimalOf(equity) }),
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
    financing: { borrowFees: decimalOf(view.borrowFees), funding: decimalOf(view.funding) },
    ...(mark === undefined ? {} : { mark: decimalOf(mark) }),
    ...(capital === undefined ? {} : { capital: decimalOf(capital) }),
    ...(target === undefined ? {} : { targetWeight: target }),
    ...(brokerQuantity === undefined ? {} : { brokerQuantity: { value: brokerQuantity } }),
  };
}

function limitsToProto({ deps }: AccountRouter): MessageInitShape<typeof AccountSchema>["limits"] {
  const { orderNotionalMax, grossNotionalMax } = deps.settings.limits;
  return {
    ...(orderNotionalMax === undefined ? {} : { maxOrderNotional: decimalOf(orderNotionalMax) }),
    ...(grossNotionalMax === undefined ? {} : { maxGrossNotional: decimalOf(grossNotionalMax) }),
  };
}

const KINDS: Readonly<Record<StoredKind, JournalKind>> = {
  order: JournalKind.ORDER,
  order_state: JournalKind.ORDER_STATE,
  fill: JournalKind.FILL,
  target: JournalKind.TARGET,
  plain: JournalKind.DIRECT,
  gate: JournalKind.GATE,
  halt: JournalKind.HALT,
  resume: JournalKind.RESUME,
  allocation: JournalKind.ALLOCATION,
  capital: JournalKind.CAPITAL,
  cross: JournalKind.CROSS,
  demote: JournalKind.DEMOTION,
  adjustment: JournalKind.ADJUSTMENT,
  reconcile: JournalKind.RECONCILE,
  bar: JournalKind.BAR,
  seal: JournalKind.SEAL,
  settings: JournalKind.SETTINGS,
  margin: JournalKind.MARGIN,
  financing: JournalKind.FINANCING,
};

const STORED: ReadonlyMap<JournalKind, string> = new Map(
  Object.entries(KINDS).map(([stored, kind]) => [kind, stored]),
);

/** Kinds as they are stored. A planned kind is never stored: the request check has refused it. */
function storedKinds(kinds: readonly JournalKind[]): string[] {
  return kinds.flatMap((kind) => STORED.get(kind) ?? []);
}

/** An entry on the wire. */
function entryToProto(
  account: string,
  row: JournalEntryRow,
): MessageInitShape<typeof JournalEntrySchema> {
  return {
    entry: BigInt(row.entry),
    accountId: account,
    kind: KINDS[row.kind],
    worldId: row.worldId,
    strategyId: row.strategyId,
    row: BigInt(row.row),
    bodyJson: row.bodyJson,
    createTime: timestampFromMs(row.timeMs),
  };
}
