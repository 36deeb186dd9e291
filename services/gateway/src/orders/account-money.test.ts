import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  GetAccountRequestSchema,
  GetAccountResponseSchema,
  ListAccountsRequestSchema,
  ListAccountsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { type AccountMoney, OfflineAccount, type PretradeLimits } from "@qmtl/core/execution";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { accountHandlers } from "./rpc/account-routes.ts";
import { StrategyOrderReader } from "./rpc/strategy-orders.ts";
import { bucketOf, OrderBench, paperAccount, replayWorld } from "./testing/order-bench.ts";

/** Open, close and the weight that is stated on the close. */
type Row = readonly [open: number, close: number, weight: number];

interface Rules {
  readonly limits?: PretradeLimits;
  readonly money?: AccountMoney;
}

let host: PgliteHost;
let bench: OrderBench | undefined;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(async () => {
  await bench?.orders.stop();
  bench = undefined;
});

const instrument = { symbol: "SPX", lotSize: "1", tick: 0.01, multiplier: 1 };
const costs = { feeBps: 5, halfSpreadBps: 5 };
const leverage = (leverageMax: number): AccountMoney => ({ kind: "margin", leverageMax });

/** Fills, equities and reasons of a world on paper, with a restart from the whole journal in the middle. */
async function onPaper(rows: readonly Row[], { limits = {}, money = leverage(1) }: Rules) {
  const own = { ...paperAccount.instruments[0]!, ...instrument };
  const settings = { ...paperAccount, initialCash: 1_000, costs, limits, money };
  const opened = await OrderBench.open(host, { ...settings, instruments: [own] }, replayWorld);
  bench = opened;
  const equity: number[] = [];
  const reasons: string[] = [];
  for (const [row, [open, close, weight]] of rows.entries()) {
    await opened.bar(row, open, close);
    equity.push(opened.router.core.equity());
    if (row === 0) await opened.promote({ A: 1 });
    const { results = [] } = await opened.end("A", row, weight);
    reasons.push(...results.flatMap(({ reason }) => (reason === "" ? [] : [reason])));
    if (row !== 1) continue;
    opened.forgetSnapshots();
    await opened.restart();
    await opened.armed();
  }
  const cut = (await opened.list()).flatMap(({ state, reason }) =>
    state === "cancelled" ? [reason] : [],
  );
  const fills = await host
    .db("paper")
    .query<{ lots: number; price: number }>(
      "SELECT lots, price FROM paper.execution ORDER BY sequence",
    );
  return { fills, equity, reasons, cut };
}

/** The same in a backtest. */
function inBacktest(rows: readonly Row[], { limits = {}, money = leverage(1) }: Rules) {
  const account = new OfflineAccount({
    ...{ instruments: [{ ...instrument, costs }], capital: 1_000, limits, money },
  });
  for (const [row, [open, close, weight]] of rows.entries()) {
    account.step(row, open, Math.max(open, close), Math.min(open, close), close, weight);
  }
  return {
    fills: account.fills.map(({ lots, price }) => ({ lots, price })),
    equity: [...account.equity()],
    refusals: account.refusals,
  };
}

const cases: readonly (readonly [
  what: string,
  rows: readonly Row[],
  rules: Rules,
  reason: string,
])[] = [
  [
    "cut to the leverage of the account",
    [
      [100, 100, 3],
      [100, 101, 3],
      [101, 90, -3],
      [90, 80, -3],
      [80, 80, 0],
      [80, 80, 0],
    ],
    { money: leverage(2) },
    "REDUCED_TO_BUYING_POWER",
  ],
  [
    "cut to leverage 1, the default",
    [
      [100, 100, 1.5],
      [100, 101, 1.5],
      [101, 99, 0],
      [99, 99, 0],
    ],
    {},
    "REDUCED_TO_BUYING_POWER",
  ],
  [
    "without shorts on an account of kind cash",
    [
      [100, 100, 1],
      [100, 101, -1],
      [101, 99, -1],
      [99, 99, 0.5],
      [99, 98, 0.5],
    ],
    { money: { kind: "cash", leverageMax: 1 } },
    "REDUCED_TO_BUYING_POWER",
  ],
  [
    "refused for the limits of the account",
    [
      [100, 100, 1],
      [100, 101, 0.2],
      [101, 99, 0.9],
      [99, 99, 0],
      [99, 98, 0],
    ],
    { limits: { orderNotionalMax: 500 } },
    "OVER_LIMIT",
  ],
  [
    "closed at the next open after a close below 0, and not opened at one",
    [
      [20, 18, 0.2],
      [18, -7, 0],
      [-4, -5, 0.3],
      [-5, 11, 0.2],
      [11, 14, 0],
      [14, 14, 0],
    ],
    { money: leverage(4) },
    "MARK_INVALID",
  ],
];

test.each<readonly [what: string, rows: readonly Row[], money: AccountMoney]>([
  [
    "reduced for lack of margin",
    [
      [100, 100, 3],
      [100, 101, 3],
      [101, 62, 3],
      [61, 60, 1],
      [60, 60, 0],
      [60, 61, 0],
    ],
    { ...leverage(2), maintenance: 0.25 },
  ],
  [
    "closed for good once nothing is left of the equity",
    [
      [100, 100, -1],
      [100, 150, -1],
      [150, 250, -1],
      [240, 120, 0.5],
      [120, 100, 1],
      [100, 100, 1],
    ],
    leverage(1),
  ],
])("positions are %s in a world as in a backtest", async (_, rows, money) => {
  const offline = inBacktest(rows, { money });
  const paper = await onPaper(rows, { money });

  expect(paper.fills).toEqual(offline.fills);
  expect(paper.equity).toEqual(offline.equity);
  const orders = await bench!.list();
  expect(orders.filter(({ origin }) => origin === "margin")).toMatchObject([{ state: "filled" }]);
});

test("a ruined account is still ruined after a start from a snapshot or the whole journal", async () => {
  await onPaper(
    [
      [100, 100, -1],
      [100, 100, -1],
      [100, 250, -1],
      [250, 100, 0],
    ],
    {},
  );
  for (const forget of [false, true]) {
    if (forget) bench!.forgetSnapshots();
    await bench!.restart();
    await bench!.armed();
    expect(bench!.router.core.isRuined).toBe(true);
    expect(bench!.router.core.ruin).toEqual({
      timeMs: bucketOf(2),
      equity: -501,
    });
    const { results } = await bench!.end("A", 3, 1);
    expect(results).toMatchObject([{ accepted: false, reason: "ACCOUNT_RUINED" }]);
  }
  expect(bench!.lots("A")).toBe(0);
});

test("a ruined account says so where it is read, with the time and the equity, and so does each of its strategies", async () => {
  await onPaper(
    [
      [100, 100, -1],
      [100, 100, -1],
      [100, 250, -1],
      [250, 100, 0],
    ],
    {},
  );
  const { orders, world } = bench!;
  const accounts = accountHandlers(orders);
  const request = create(GetAccountRequestSchema, { accountId: "paper" });

  const { account } = create(GetAccountResponseSchema, await accounts.getAccount(request));
  const list = create(ListAccountsRequestSchema);
  const listed = create(ListAccountsResponseSchema, await accounts.listAccounts(list));
  const explained = await new StrategyOrderReader(orders, world).read("w1", "A");

  const ruin = { ruinTime: timestampFromMs(bucketOf(2)), equity: { value: "-501" } };
  expect(account).toMatchObject({ ruin });
  expect(listed.accounts).toMatchObject([{ ruin }]);
  expect(explained.fields).toMatchObject({ ruin });
  expect(explained.ruin).toEqual({ timeMs: bucketOf(2), equity: -501 });
});

test("a position is closed for lack of margin while the gate is shut and a halt is in force", async () => {
  await onPaper([[100, 100, -1]], {});
  await bench!.bar(1, 100);
  await bench!.halt({ scope: "all", target: "" });
  await bench!.bar(2, 100, 250);
  await bench!.bar(3, 240);

  expect(bench!.lots("A")).toBe(0);
  expect((await bench!.list()).at(-1)).toMatchObject({ origin: "margin", state: "filled" });
});

test.each(cases)(
  "orders are the same in a world and in a backtest: %s",
  async (_, rows, rules, reason) => {
    const offline = inBacktest(rows, rules);
    const paper = await onPaper(rows, rules);

    expect(paper.fills).toEqual(offline.fills);
    expect(paper.equity).toEqual(offline.equity);
    expect(paper.reasons).toContain(reason);
    expect(paper.reasons).toHaveLength(offline.refusals.length);
  },
);

test.each<readonly [what: string, rows: readonly Row[], reason: string]>([
  [
    "far above the mark",
    [
      [100, 100, 1],
      [150, 150, 1],
      [150, 120, 0],
      [120, 120, 0],
    ],
    "REDUCED_TO_BUYING_POWER",
  ],
  [
    "at 0 or below",
    [
      [20, 20, 0.5],
      [-1, 5, 0.5],
      [5, 5, 0.4],
      [5, 5, 0],
    ],
    "MARK_NOT_POSITIVE",
  ],
])("a fill %s is cut as in a backtest, and never made up for", async (_, rows, reason) => {
  const offline = inBacktest(rows, {});
  const paper = await onPaper(rows, {});

  expect(paper.fills).toEqual(offline.fills);
  expect(paper.equity).toEqual(offline.equity);
  expect(paper.cut).toEqual([reason]);
  expect(offline.refusals).toMatchObject([{ reason, isFill: true }]);
});

test("a target that was cut says to which position", async () => {
  const rows: Row[] = [[100, 100, 0]];
  await onPaper(rows, { money: leverage(2) });
  const { results } = await bench!.end("A", 0, 3);

  expect(results).toMatchObject([
    { accepted: true, reason: "REDUCED_TO_BUYING_POWER", reducedTo: { value: "20" } },
  ]);
});

test("a direct order that opens is cut, one that closes is not", async () => {
  await onPaper([[100, 100, 0]], {});
  await bench!.bar(1, 100);
  const { results } = await bench!.submit("A", 1, [{ quantity: "15" }]);
  await bench!.bar(2, 100);
  expect(results).toMatchObject([{ accepted: true, reason: "REDUCED_TO_BUYING_POWER" }]);
  expect(bench!.lots("A")).toBe(10);

  await bench!.submit("A", 2, [{ quantity: "-25" }]);
  await bench!.bar(3, 100);
  expect(bench!.lots("A")).toBe(-9);
});
