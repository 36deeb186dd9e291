import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { OrderBench } from "../testing/order-bench.ts";

let host: PgliteHost;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());

test("a WorldService that knows a world of this gateway no more is warned of once, and again after it knew it", async () => {
  const bench = await OrderBench.open(host);
  onTestFinished(() => bench.orders.stop());
  await bench.bar(0, 100);
  await bench.promote({ A: 1 });
  const gate = bench.orders.gates.get("w1")!;
  const warnings = () =>
    bench.warnings.filter((each) => each.startsWith("WorldService no longer knows this world"));

  bench.world.isGone = true;
  await gate.beat();
  await gate.beat();
  expect(warnings()).toHaveLength(1);

  bench.world.isGone = false;
  await gate.beat();
  bench.world.isGone = true;
  await gate.beat();
  expect(warnings()).toHaveLength(2);
});
