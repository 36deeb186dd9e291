import { fileURLToPath } from "node:url";
import { silentLogger } from "@qmtl/service-kit";
import { migrate } from "@qmtl/service-kit/db";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { DroppedRunners } from "./dropped-runners.ts";

test("dropped sessions are stored with their feeds until they are waited for again", async () => {
  await using opened = new AsyncDisposableStack();
  const host = await openTestPglite();
  opened.defer(() => host.close());
  const db = host.db("gateway");
  await migrate(db, fileURLToPath(new URL("../../migrations/", import.meta.url)));
  const clock = new ManualClock(1_000);
  const before = new DroppedRunners({ db, clock, logger: silentLogger });
  before.add("a", ["x", "y"]);
  before.add("b", ["x"]);
  clock.advance(500);
  before.add("a", ["x"]);
  before.remove("b");
  await before.load();

  const after = new DroppedRunners({ db, clock, logger: silentLogger });
  expect(await after.load()).toEqual([{ sessionId: "a", sources: ["y", "x"], timeMs: 1_500 }]);
});

test("a session that is waited for again is removed once the database answers", async () => {
  await using opened = new AsyncDisposableStack();
  const host = await openTestPglite();
  opened.defer(() => host.close());
  const db = host.db("gateway");
  await migrate(db, fileURLToPath(new URL("../../migrations/", import.meta.url)));
  const clock = new ManualClock(1_000);
  let isDown = false;
  const query: typeof db.query = (sql, params) =>
    isDown ? Promise.reject(new Error("away")) : db.query(sql, params);
  const dropped = new DroppedRunners({
    db: { query, script: (sql) => db.script(sql) },
    clock,
    logger: silentLogger,
  });
  dropped.add("a", ["x"]);
  await dropped.load();

  isDown = true;
  dropped.remove("a");
  await expect(dropped.load()).rejects.toThrow("away");
  isDown = false;
  expect(await dropped.load()).toHaveLength(1);
  clock.advance(1_000);

  expect(await dropped.load()).toEqual([]);
});
