import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { Runner } from "@qmtl/sdk";
import { expect, test } from "vitest";
import { PaperLab } from "./testing/paper-lab.ts";
import { historyDays, Legs, start, walk } from "./testing/paper-market.ts";

test("a world that is given another account directly before it is promoted sends no order to the one before", async () => {
  const accounts = {
    main: { cash: 1_000_000, feeBps: 2, feeds: ["a"] },
    other: { cash: 500_000, feeBps: 2, feeds: ["a"] },
  };
  const prices = { a: walk(35, { to: historyDays + 15 }) };
  await using lab = await PaperLab.open(prices, start, { accounts });
  const { config } = lab;
  await lab.createWorld("a");
  await using runner = await Runner.session(new Legs({ a: "1d" }, 0.9), { config, worldId: "w" });
  await expect.poll(() => runner.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  const { strategyId } = runner.status();
  await lab.allocate({ [strategyId]: 1 });
  await lab.apply(EffectiveMode.COMPUTE_ONLY, [strategyId]);

  await lab.connection.client(WorldService).updateWorld({
    world: { worldId: "w", accountId: "other" },
    updateMask: { paths: ["account_id"] },
  });
  await lab.apply(EffectiveMode.PAPER, [strategyId]);
  await lab.advance("a");
  await runner.done;

  expect(await lab.orders("main")).toEqual([]);
  expect((await lab.orders("other")).length).toBeGreaterThan(0);
}, 120_000);
