import { fileURLToPath } from "node:url";
import { systemClock } from "@qmtl/service-kit";
import { applyMigrations, type PgliteHost, readMigrations } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { PaperBroker } from "./paper-broker.ts";
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
  const folder = fileURLToPath(new URL("../../migrations-paper", import.meta.url));
  const migrations = await readMigrations(folder);
  await applyMigrations(host.db("paper"), "paper", migrations.slice(0, steps));
}

function opened(): PaperBroker {
  return new PaperBroker(host.db("paper"), {
    account: "main",
    instruments: [{ symbol: "X", lotSize: "1" }],
    initialCash: 1_000,
    costs: { feeBps: 0, halfSpreadBps: 0 },
    clock: systemClock,
  });
}

/** An order of one lot, decided at a moment. */
function order(id: string, bucket: number) {
  const identity = { id, world: "w", strategy: "s", instrument: "X", lots: 1, bucket };
  return { ...identity, reduceOnly: false, fence: 1, decisionId: "d", origin: "target" };
}

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
