import { fileURLToPath } from "node:url";
import { systemClock } from "@qmtl/service-kit";
import { applyMigrations, type Db, type PgliteHost, readMigrations } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Writes } from "../../store/writes.ts";
import { RemotePaper } from "../testing/remote-paper.ts";
import type { BrokerBooking } from "./broker-port.ts";
import { PaperBroker } from "./paper-broker.ts";
import { noFault, type PaperFault } from "./paper-fault.ts";
import { loadPaper, paperBarsMax } from "./paper-store.ts";

let host: PgliteHost;

beforeAll(async () => {
  host = await openTestPglite();
});
beforeEach(async () => {
  await host.db("paper").script("drop schema if exists paper cascade");
});
afterAll(() => host.close());

/** The tables as the first steps of their schema make them; without a number, all. */
async function migrate(steps?: number): Promise<void> {
  const folder = fileURLToPath(new URL("../../../migrations-paper", import.meta.url));
  const migrations = await readMigrations(folder);
  await applyMigrations(host.db("paper"), "paper", migrations.slice(0, steps));
}

/** A broker whose calls are stored one by one. */
function opened(db: Db = host.db("paper"), fault: PaperFault = noFault): RemotePaper {
  return new RemotePaper(local(db, fault), db);
}

function local(db: Db = host.db("paper"), fault: PaperFault = noFault): PaperBroker {
  return new PaperBroker(db, {
    fault,
    account: "main",
    instruments: [{ symbol: "X", lotSize: "1" }],
    initialCash: 1_000,
    costs: { feeBps: 0, halfSpreadBps: 0 },
    money: { kind: "margin", leverageMax: 100 },
    clock: systemClock,
  });
}

/** A bar of one second whose prices are its row and 1. */
function bar(row: number) {
  const prices = { open: row + 1, high: row + 1, low: row + 1, close: row + 1 };
  return {
    instrument: "X",
    row,
    openTimeMs: row * 1_000,
    bucketEndMs: (row + 1) * 1_000,
    ...prices,
  };
}

/** Counts statements and transactions. */
function countingStatements(inner: Db) {
  let count = 0;
  const db: Db = {
    kind: inner.kind,
    schema: inner.schema,
    query: (sql, params) => {
      count += 1;
      return inner.query(sql, params);
    },
    script: (sql) => inner.script(sql),
    transaction: (fn, options) => {
      count += 1;
      return inner.transaction(fn, options);
    },
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
  const reset = () => {
    count = 0;
  };
  return {
    db,
    reset,
    get count() {
      return count;
    },
  };
}

/** An order of one lot, decided at a moment. */
function order(id: string, bucket: number) {
  const identity = { id, world: "w", strategy: "s", instrument: "X", lots: 1, bucket };
  return { ...identity, reduceOnly: false, fence: 1, decisionId: "d", origin: "target" };
}

test("a working order is still one after a restart, with 10,000 newer orders behind it", async () => {
  await migrate();
  const before = opened();
  await before.registerFence("w", 1);
  await before.onBars([bar(0)]);
  const limit = { type: "limit" as const, price: 1 };
  const waiting = { ...order("waiting", 1_000), terms: limit };
  expect(await before.accept(waiting)).toMatchObject({ accepted: true, report: { fills: [] } });
  await host.db("paper").script(
    `INSERT INTO paper.accepted_order (account_id, order_id, world_id, strategy_id, instrument, lots, bucket_end_ms,
       reduce_only, fence, decision_id, origin, accepted_ms, outcome)
     SELECT 'main', 'o' || n, 'w', 's', 'X', 1, 1000, false, 1, 'd', 'target', 0, 'filled'
     FROM generate_series(1, 10001) n`,
  );

  expect(await opened().lookup(["waiting", "o1", "o2"])).toEqual(
    new Map([
      ["waiting", "working"],
      ["o2", "filled"],
    ]),
  );
});

test("which orders come too late, and on which bar one fills, is the same after a restart", async () => {
  await migrate();
  const before = opened();
  await before.registerFence("w", 1);
  for (let row = 0; row < 3 * paperBarsMax; row += 1) {
    const prices = { open: row, high: row, low: row, close: row };
    const span = { openTimeMs: row * 1_000, bucketEndMs: (row + 1) * 1_000 };
    await before.onBars([{ instrument: "X", row, ...span, ...prices }]);
  }
  // The first bar that is kept begins here.
  const keptMs = 2 * paperBarsMax * 1_000;
  const replies = [];
  for (const [at, broker] of [before, opened()].entries()) {
    const late = await broker.accept(order(`late-${at}`, keptMs - 1));
    const early = await broker.accept(order(`early-${at}`, keptMs));
    const within = await broker.accept(order(`within-${at}`, keptMs + 1));
    replies.push({
      late,
      prices: [early, within].map((reply) => reply.accepted && reply.report.fills[0]?.price),
    });
  }

  expect(replies[0]).toEqual({
    late: { accepted: false, reason: "BUCKET_TOO_OLD" },
    prices: [2 * paperBarsMax, 2 * paperBarsMax + 1],
  });
  expect(replies[1]).toEqual(replies[0]);
});

test("bars stored before their beginning was kept begin where the one before ended", async () => {
  const db = host.db("paper");
  await migrate(2);
  await db.query(
    `INSERT INTO paper.bar (account_id, instrument, source_row, bucket_end_ms, open, high, low, close)
     SELECT 'main', instrument, row, (row + 1) * 1000, 1, 1, 1, 1
     FROM (VALUES ('X', 0), ('X', 1), ('X', 4), ('Y', 3)) AS bar (instrument, row)`,
  );

  await migrate();

  const { snapshot } = await loadPaper(db, "main", 1_000);
  const spans = snapshot.bars.map((bar) => [bar.instrument, bar.openTimeMs, bar.bucketEndMs]);
  expect(spans).toEqual([
    ["X", 999, 1_000],
    ["X", 1_000, 2_000],
    ["X", 2_000, 5_000],
    ["Y", 3_999, 4_000],
  ]);
});

/** Stores a broker's part of a booking as a booking would. */
async function store(db: Db, booking: BrokerBooking): Promise<boolean> {
  const writes = await booking.writes();
  const condition = booking.condition(false);
  if (condition !== undefined) return writes.storeIf(db, [condition]);
  await writes.storeIn(db);
  return true;
}

test("orders of one booking are stored in one statement, in order, but for one under an old fence", async () => {
  await migrate();
  const counted = countingStatements(host.db("paper"));
  const broker = local(counted.db, (one) => one.bucket === 13);
  await broker.registerFence("w", 2);
  const first = await broker.prepare();
  first.playBars([bar(0)]);
  await store(counted.db, first);
  const orders = Array.from({ length: 5 }, (_, at) => ({
    ...order(`o-${at}`, 10 + at),
    fence: at === 1 ? 1 : 2,
  }));
  counted.reset();

  const booking = await broker.prepare();
  const replies = orders.map((one) => booking.accept(one));
  expect(await store(counted.db, booking)).toBe(true);

  expect(counted.count).toBe(1);
  expect(replies).toEqual([
    { accepted: true, report: { fills: [], cancelled: [] } },
    { accepted: false, reason: "FENCE_STALE" },
    { accepted: true, report: { fills: [], cancelled: [] } },
    undefined,
    { accepted: true, report: { fills: [], cancelled: [] } },
  ]);
  const stored = await host
    .db("paper")
    .query(
      "select order_id as id, report_lost as lost from paper.accepted_order order by position",
    );
  expect(stored).toEqual([
    { id: "o-0", lost: false },
    { id: "o-2", lost: false },
    { id: "o-3", lost: true },
    { id: "o-4", lost: false },
  ]);
  // Memory has nothing of the one that was refused: only the others fill.
  const { fills } = await new RemotePaper(broker, counted.db).onBars([bar(1)]);
  expect(fills.map(({ orderId }) => orderId)).toEqual(["o-0", "o-2", "o-4"]);
  expect(await broker.lookup(["o-1", "o-3"])).toEqual(new Map([["o-3", "filled"]]));
});

test("an order under a fence that another process has replaced is not stored, nor is anything with it", async () => {
  await migrate();
  const db = host.db("paper");
  const broker = local();
  await broker.registerFence("w", 1);
  await db.query("update paper.world_fence set fence = 2");

  const booking = await broker.prepare();
  booking.playBars([bar(0)]);
  expect(booking.accept(order("late", 1_000))).toMatchObject({ accepted: true });
  expect(await store(db, booking)).toBe(false);
  expect(await db.transaction((tx) => booking.holds(tx))).toBe(false);
  booking.undone();

  expect(await broker.lookup(["late"])).toEqual(new Map());
  expect(await db.query("select * from paper.bar")).toEqual([]);
  const next = await broker.prepare();
  expect(next.accept(order("late", 1_000))).toEqual({ accepted: false, reason: "FENCE_STALE" });
  expect(next.accept({ ...order("next", 1_000), fence: 2 })).toMatchObject({ accepted: true });
  for (const isLocking of [true, false]) {
    const asked = new Writes().storeIf(db, [next.condition(isLocking)!]);
    expect(await asked).toBe(true);
  }
});

test("a bar, a cancel and orders that fill on it or at once are one statement, and a restart reads the same", async () => {
  await migrate();
  const counted = countingStatements(host.db("paper"));
  const broker = local(counted.db);
  await broker.registerFence("w", 1);
  const first = await broker.prepare();
  first.playBars([bar(0)]);
  for (const id of ["fills", "cancelled"]) first.accept(order(id, 1_000));
  await store(counted.db, first);
  counted.reset();

  const booking = await broker.prepare();
  booking.cancel("cancelled");
  const played = booking.playBars([bar(1)]);
  const atOnce = booking.accept(order("at once", 900));
  const waiting = booking.accept(order("waiting", 2_000));
  booking.accept({ ...order("closing", 900), lots: -5, reduceOnly: true });
  expect(booking.cancel("waiting")).toBe("cancelled");
  await store(counted.db, booking);

  expect(counted.count).toBe(1);
  expect(played.fills.map(({ orderId }) => orderId)).toEqual(["fills"]);
  expect(atOnce).toMatchObject({ report: { fills: [{ orderId: "at once" }] } });
  expect(waiting).toMatchObject({ report: { fills: [] } });
  const again = local();
  const ids = ["fills", "cancelled", "at once", "waiting", "closing"];
  expect([...(await again.lookup(ids)).values()]).toEqual(
    ["filled", "cancelled", "filled", "cancelled", "filled"], // the last one in part
  );
  expect(await again.lookup(ids)).toEqual(await broker.lookup(ids));
  expect(await again.positions()).toEqual(new Map([["X", 0]]));
  expect(await again.positions()).toEqual(await broker.positions());
  expect(await again.cash()).toBe(await broker.cash());
  const sequences = (await again.executions(0)).map(({ sequence }) => sequence);
  expect(sequences).toEqual([1, 2, 3]);
});

test("a bar with its fills, and an order that fills at once, leave books that a restart reads the same", async () => {
  await migrate();
  const counted = countingStatements(host.db("paper"));
  const broker = opened(counted.db);
  await broker.registerFence("w", 1);
  await broker.onBars([bar(0)]);
  await Promise.all(["a", "b", "c"].map((id) => broker.accept(order(id, 500))));
  counted.reset();
  await broker.onBars([bar(1)]);
  expect(counted.count).toBe(1);
  const [late, stale] = await Promise.all([
    broker.accept(order("late", 700)),
    broker.accept({ ...order("stale", 700), fence: 0 }),
  ]);
  expect(late?.accepted && late.report.fills).toHaveLength(1);
  expect(stale).toEqual({ accepted: false, reason: "FENCE_STALE" });
  const again = opened();
  expect(await again.positions()).toEqual(new Map([["X", 4]]));
  expect(await again.positions()).toEqual(await broker.positions());
  expect(await again.cash()).toBe(await broker.cash());
  expect((await again.executions(0)).map(({ orderId }) => orderId)).toEqual([
    "a",
    "b",
    "c",
    "late",
  ]);
});
