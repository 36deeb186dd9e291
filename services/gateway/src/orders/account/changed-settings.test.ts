import { type Db, openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type BenchHost, bucketOf, OrderBench, paperAccount } from "../testing/order-bench.ts";
import type { AccountInstrument, AccountSettings } from "./account-settings.ts";

const [spx] = paperAccount.instruments as [AccountInstrument];
const ndx: AccountInstrument = { ...spx, symbol: "NDX" };

const withSpx = (change: Partial<AccountInstrument>): AccountSettings => ({
  ...paperAccount,
  instruments: [{ ...spx, ...change }],
});
const withLimits = (limits: AccountSettings["limits"]): AccountSettings => ({
  ...paperAccount,
  limits,
});

function restartSuite(opened: () => BenchHost, hasSnapshots = true): void {
  let bench: OrderBench;
  afterEach(() => bench.orders.stop());

  /** A has 400,000 of capital and goes from 200,000 long to 400,000 short; a direct order is working. */
  async function trade(settings: AccountSettings = paperAccount): Promise<void> {
    bench = await OrderBench.open(opened(), settings);
    if (!hasSnapshots) bench.forgetSnapshots();
    await bench.bar(0, 100);
    await bench.promote({ A: 0.4 });
    await bench.end("A", 0, 0.5);
    await bench.bar(1, 100);
    await bench.end("A", 1, -1);
    await bench.bar(2, 101);
    await bench.submit("A", 2, [{ quantity: "30" }]);
    await bench.router.stored();
    // Once it has a lease again it catches up with the target, which the direct order went beyond.
    bench.world.grants = false;
  }

  /** All that the books hold, except the limits in force now. */
  const books = () => {
    const { limits: _, ...rest } = bench.router.core.snapshot();
    return rest;
  };

  const ordersOf = async () => (await bench.list()).map(({ lots, state }) => [lots, state]);

  const entries = () =>
    bench.db.query<{ entry: number; body: string }>(
      "SELECT entry, body FROM gateway.journal WHERE kind = 'settings' ORDER BY entry",
    );

  /** As in a journal from before settings were journaled, when there were no snapshots either. */
  const forget = () => {
    bench.forgetSnapshots();
    return bench.db.query(
      `UPDATE gateway.journal SET kind = 'gate', body = '{"op":"note"}' WHERE kind = 'settings'`,
    );
  };

  const orderMax = (orderNotionalMax: number) => withLimits({ orderNotionalMax });

  test.each<[string, AccountSettings, AccountSettings]>([
    ["a limit that is set", paperAccount, orderMax(1_000)],
    ["a limit that is lowered", orderMax(300_000), orderMax(1_000)],
    ["a limit that is raised", orderMax(300_000), orderMax(900_000)],
    ["a limit that is taken away", orderMax(300_000), paperAccount],
    [
      "a gross limit that is lowered",
      withLimits({ grossNotionalMax: 300_000 }),
      withLimits({ grossNotionalMax: 1_000 }),
    ],
  ])("the books are the same again after a restart under %s", async (_, was, is) => {
    await trade(was);
    const before = books();
    const orders = await bench.list();

    await bench.restart(is);
    expect(books()).toEqual(before);
    expect(bench.router.core.snapshot().limits).toEqual(is.limits);
    await bench.restart(was);
    expect(books()).toEqual(before);

    expect(await bench.list()).toEqual(orders);
    expect(bench.router.difference).toBe("");
  });

  test("a new limit binds what comes after the restart, and that is the same again under a third", async () => {
    await trade();
    bench.world.grants = true;
    await bench.restart(orderMax(1_000));
    await bench.armed();
    bench.world.grants = false;
    await bench.bar(3, 100);
    const refused = await bench.submit("A", 3, [{ quantity: "-50" }]);
    const taken = await bench.submit("A", 3, [{ quantity: "-5" }]);
    await bench.router.stored();
    const before = books();

    await bench.restart();

    const verdicts = [refused, taken].map(({ results }) => results?.[0]);
    expect(verdicts).toMatchObject([
      { accepted: false, reason: "OVER_LIMIT" },
      { accepted: true, reason: "" },
    ]);
    expect(books()).toEqual(before);
  });

  test("the journal tells settings when they change, and what has changed alone", async () => {
    await trade();
    await bench.restart();
    await bench.restart(orderMax(1_000));
    await bench.restart();
    await bench.restart({ ...orderMax(1_000), instruments: [spx, ndx] });
    const dearer = { costs: { feeBps: 9, halfSpreadBps: 1 } };
    await bench.restart({ ...orderMax(1_000), ...dearer, instruments: [spx, ndx] });

    const told = (await entries()).map(({ entry, body }) => [entry === 1, JSON.parse(body)]);
    const listed = ({ symbol }: AccountInstrument) => ({ symbol, lotSize: "0.1", multiplier: 1 });
    expect(told).toEqual([
      [
        true,
        {
          op: "settings",
          initialCash: 1_000_000,
          currency: "USD",
          costs: { feeBps: 1, halfSpreadBps: 1 },
          limits: {},
          money: { kind: "margin", leverageMax: 4 },
          instruments: [listed(spx)],
        },
      ],
      [false, { op: "settings", limits: { orderNotionalMax: 1_000 } }],
      [false, { op: "settings", instruments: [listed(ndx)] }],
      [false, { op: "settings", costs: { feeBps: 9, halfSpreadBps: 1 } }],
    ]);
  });

  test("a journal that does not tell its limits is replayed under those it is first opened with", async () => {
    await trade(orderMax(300_000));
    await forget();
    const before = books();

    await bench.restart();
    expect(books()).toEqual(before);
    await bench.restart(orderMax(1_000));

    expect(books()).toEqual(before);
    expect(await entries()).toHaveLength(2);
  });

  test("a journal that does not tell its limits is not opened under others, and is under its own", async () => {
    await trade(orderMax(300_000));
    await forget();
    const before = books();

    await expect(bench.restart(orderMax(1_000))).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      message: expect.stringMatching(/made order q\w+ of 20000 lots, and now it is not made/),
      fields: [
        { field: "accounts.paper", description: expect.stringContaining("put back the limits") },
      ],
    });
    await expect(bench.restart(paperAccount)).rejects.toMatchObject({
      message: expect.stringMatching(/did not make order q\w+ of -\d+ lots, and now does/),
    });
    await bench.restart(orderMax(300_000));

    expect(books()).toEqual(before);
  });

  test("a journal that does not tell its lots is not opened with others, nor without the instrument", async () => {
    await trade();
    await forget();
    const before = books();

    await expect(bench.restart(withSpx({ lotSize: "1" }))).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      message: expect.stringMatching(/made order q\w+ of 20000 lots, and now it is of 2000 lots/),
    });
    await expect(bench.restart({ ...paperAccount, instruments: [] })).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      fields: [{ field: "accounts.paper.instruments" }],
    });
    await bench.restart(paperAccount);

    expect(books()).toEqual(before);
  });

  test.each<[string, string, AccountSettings]>([
    [
      "accounts.paper.initial_cash",
      "is 500000, and the books of account paper are kept in 1000000: put 1000000 back, or trade on an account of another name",
      { ...paperAccount, initialCash: 500_000 },
    ],
    [
      "accounts.paper.currency",
      "is EUR, and the books of account paper are kept in USD: put USD back, or trade on an account of another name",
      { ...paperAccount, currency: "EUR" },
    ],
    [
      "instruments.SPX.lot",
      "is 1, and the books of account paper are kept in 0.1: put 0.1 back, or trade it as an instrument of another name, or trade on an account of another name",
      withSpx({ lotSize: "1" }),
    ],
    [
      "instruments.SPX.multiplier",
      "is 50, and the books of account paper are kept in 1: put 1 back, or trade it as an instrument of another name, or trade on an account of another name",
      withSpx({ multiplier: 50 }),
    ],
    [
      "accounts.paper.instruments",
      "lacks SPX, and the journal of account paper has targets or orders of it: put SPX back",
      { ...paperAccount, instruments: [ndx] },
    ],
  ])(
    "a changed %s is refused at the start, and nothing is stored",
    async (field, description, is) => {
      await trade();
      const before = books();
      const head = bench.router.head;
      const orders = await ordersOf();

      await expect(bench.restart(is)).rejects.toMatchObject({
        reason: "CONFIG_INVALID",
        message: `${field} ${description}`,
        fields: [{ field, description }],
      });
      await bench.restart(paperAccount);

      expect(books()).toEqual(before);
      expect(bench.router.head).toBe(head);
      expect(await ordersOf()).toEqual(orders);
    },
  );

  test("what contradicts the books is told all at once", async () => {
    await trade();

    const is = { ...withSpx({ lotSize: "1", multiplier: 2 }), initialCash: 1, currency: "EUR" };
    await expect(bench.restart(is)).rejects.toMatchObject({
      fields: [
        { field: "accounts.paper.initial_cash" },
        { field: "accounts.paper.currency" },
        { field: "instruments.SPX.lot" },
        { field: "instruments.SPX.multiplier" },
      ],
    });
    await bench.restart(paperAccount);
  });

  test("an instrument that was never traded may have other lots, or go", async () => {
    await trade({ ...paperAccount, instruments: [spx, ndx] });
    const before = books();

    await bench.restart({ ...paperAccount, instruments: [spx, { ...ndx, lotSize: "5" }] });
    await bench.restart(paperAccount);
    await bench.restart({ ...paperAccount, instruments: [spx, { ...ndx, multiplier: 20 }] });

    expect(books()).toEqual(before);
    expect(await entries()).toHaveLength(3);
  });

  test.each<[string, AccountSettings]>([
    ["lots that are written otherwise", withSpx({ lotSize: "0.10" })],
    ["another tick", withSpx({ tick: 0.5 })],
    ["another least notional", withSpx({ minNotional: "100000" })],
    ["another source of its mark", withSpx({ markSource: "hours" })],
    ["another venue", withSpx({ venue: "elsewhere" })],
    ["another time between comparisons", { ...paperAccount, reconcileIntervalMs: 1_000_000 }],
  ])(
    "the books are the same again under %s, and the journal tells nothing of it",
    async (_, is) => {
      await trade();
      const before = books();
      const head = bench.router.head;

      await bench.restart(is);

      expect(books()).toEqual(before);
      expect(bench.router.head).toBe(head);
      expect(bench.router.difference).toBe("");
    },
  );

  test("the books are the same again under other costs, and the journal tells them", async () => {
    await trade();
    const before = books();
    const head = bench.router.head;

    await bench.restart({ ...paperAccount, costs: { feeBps: 9, halfSpreadBps: 9 } });

    expect(books()).toEqual(before);
    expect(bench.router.head).toBe(head + 1);
    expect(JSON.parse((await entries()).at(-1)!.body)).toEqual({
      op: "settings",
      costs: { feeBps: 9, halfSpreadBps: 9 },
    });
    expect(bench.router.difference).toBe("");
  });

  test("the rows of another source of the mark do not take it back to what it was before", async () => {
    await trade();
    const marks = async (bucketEndMs: number, row: number) => {
      const prices = { open: 50, high: 50, low: 50, close: 50 };
      await bench.orders.onBars([
        { source: "hours", instrument: "SPX", row, bucketEndMs, ...prices },
      ]);
      return bench.router.core.mark("SPX");
    };

    await bench.restart(withSpx({ markSource: "hours" }));

    expect(await marks(bucketOf(0), 0)).toBe(101);
    expect(bench.router.market.closeAt("SPX", bucketOf(0))).toBe(100);
    expect(await marks(bucketOf(2), 1)).toBe(101);
    expect(await marks(bucketOf(3), 2)).toBe(50);
    const before = books();
    await bench.restart();
    expect(books()).toEqual(before);
  });

  test.each([
    "onDemote",
    "onLeaseLost",
    "cancelProtective",
    "reduceOnlyWhenShut",
    "maxLagMs",
  ] as const)("the books are the same again under another %s of the world", async (setting) => {
    const other = {
      onDemote: "keep",
      onLeaseLost: "flatten",
      cancelProtective: true,
      reduceOnlyWhenShut: true,
      maxLagMs: 1,
    } as const;
    await trade();
    bench.world.modes.set("A", "compute-only");
    bench.world.publish();
    await bench.applied();
    await bench.router.stored();
    const before = books();

    bench.world.settings = { ...bench.world.settings, [setting]: other[setting] };
    await bench.restart();

    expect(books()).toEqual(before);
  });
}

describe("an account started again (PGlite)", () => {
  let host: Awaited<ReturnType<typeof openTestPglite>>;
  beforeAll(async () => {
    host = await openTestPglite();
  });
  afterAll(() => host.close());
  describe("from a snapshot", () => restartSuite(() => host));
  describe("from its whole journal", () => restartSuite(() => host, false));
});

describePostgres("an account started again", (server) => {
  const dbs = new Map<string, Db>();
  beforeAll(async () => {
    const dsn = await server().createDatabase();
    for (const schema of ["gateway", "paper"]) {
      dbs.set(schema, await openPostgres({ dsn, schema, connectionsMax: 3 }));
    }
  });
  afterAll(async () => {
    for (const db of dbs.values()) await db.close();
  });
  restartSuite(() => ({ db: (schema) => dbs.get(schema)! }));
});
