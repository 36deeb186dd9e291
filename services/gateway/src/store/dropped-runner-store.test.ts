import { fileURLToPath } from "node:url";
import { silentLogger } from "@qmtl/service-kit";
import { migrate } from "@qmtl/service-kit/db";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { DroppedRunnerStore } from "./dropped-runner-store.ts";

test("dropped sessions are stored with their feeds until they are waited for again", async () => {
  await using opened = new AsyncDisposableStack();
  const host = await openTestPglite();
  opened.defer(() => host.close());
  const db = host.db("gateway");
  await migrate(db, fileURLToPath(new URL("../../migrations/", import.meta.url)));
  const clock = new ManualClock(1_000);
  const before = new DroppedRunnerStore({ db, clock, logger: silentLogger });
  before.add("a", ["x", "y"]);
  before.add("b", ["x"]);
  clock.advance(500);
  before.add("a", ["x"]);
  before.remove("b");
  await before.load();

  const after = new DroppedRunnerStore({ db, clock, logger: silentLogger });
  expect(await after.load()).toEqual([{ sessionId: "a", sources: ["y", "x"], timeMs: 1_500 }]);
});
