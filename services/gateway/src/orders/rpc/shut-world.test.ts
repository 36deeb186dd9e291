import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ListHaltsRequestSchema,
  ResumeRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { HaltTargetSchema } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { OrderBench } from "../testing/order-bench.ts";
import { orderHandlers } from "./order-routes.ts";

const leaseMs = 10_000;
let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
/** A strategy whose first order was written after its lease had run out. */
beforeEach(async () => {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  bench.fault = () => {
    bench.aheadMs += leaseMs;
    return false;
  };
  await bench.end("A", 0, 1);
  bench.fault = () => false;
  await bench.idle();
});
afterEach(() => bench.orders.stop());

const context = {
  principal: { name: "local", role: "owner" },
  signal: new AbortController().signal,
  timeoutMs: undefined,
  metadata: new Map<string, string>(),
} as const;
const everything = { target: { case: "everything", value: {} } } as const;
const world = { target: { case: "worldId", value: "w1" } } as const;

function resume(target: MessageInitShape<typeof HaltTargetSchema>) {
  const request = create(ResumeRequestSchema, {
    which: { case: "target", value: create(HaltTargetSchema, target) },
    reason: "looked at it",
  });
  return orderHandlers(bench.orders).resume(request, context);
}

async function shutWorlds() {
  const request = create(ListHaltsRequestSchema);
  return (await orderHandlers(bench.orders).listHalts(request)).shutWorlds;
}

test("a resume of the world alone lifts it, and sends what the last targets lack, also after its max_lag", async () => {
  const [late] = await bench.list();
  for (let row = 1; row < 12; row += 1) {
    await bench.bar(row, 100);
    await bench.end("A", row, row === 1 ? 0.5 : undefined);
  }
  expect(await shutWorlds()).toMatchObject([
    { worldId: "w1", accountId: "paper", clientOrderId: late?.id },
  ]);

  const answer = await resume(world);

  expect(answer).toMatchObject({ inForce: [], reopenedWorldIds: ["w1"] });
  expect("halt" in answer).toBe(false);
  expect(answer.clientOrderIds).toHaveLength(1);
  await bench.bar(12, 100);
  expect(bench.lots("A")).toBe(20_000);
  expect(await shutWorlds()).toEqual([]);
  await expect(resume(world)).rejects.toMatchObject({ reason: "HALT_NOT_FOUND" });
});

test("a resume of everything did not say that it opened a world: it names it, and the orders that the targets lacked", async () => {
  const [late] = await bench.list();
  await bench.halt({ scope: "all", target: "" });
  await bench.bar(1, 100);
  await bench.end("A", 1, 0.5);
  expect(await shutWorlds()).toMatchObject([{ worldId: "w1", clientOrderId: late?.id }]);

  const answer = await resume(everything);

  expect(answer).toMatchObject({ inForce: [], reopenedWorldIds: ["w1"] });
  expect("halt" in answer).toBe(true);
  expect(answer.clientOrderIds).toHaveLength(1);
  expect(await shutWorlds()).toEqual([]);
});

test("a resume of the world while everything is halted names it, and the halt that stays", async () => {
  await bench.halt({ scope: "all", target: "" });

  const answer = await resume(world);

  expect(answer).toMatchObject({ inForce: [{ stored: true }], reopenedWorldIds: ["w1"] });
  expect("halt" in answer).toBe(false);
  expect(await shutWorlds()).toEqual([]);
});

test("a resume of an account opens no world that an order written too late has shut, and names none", async () => {
  await bench.halt({ scope: "account", target: "paper" });

  const answer = await resume({ target: { case: "accountId", value: "paper" } });

  expect(answer).toMatchObject({ inForce: [], reopenedWorldIds: [] });
  expect(await shutWorlds()).toMatchObject([{ worldId: "w1" }]);
});

test("a resume that names another place says which world to resume", async () => {
  await expect(resume(everything)).rejects.toMatchObject({
    reason: "HALT_NOT_FOUND",
    message:
      "no halt all is in force; an order written too late has shut w1: resume each of them by its name",
  });
});
