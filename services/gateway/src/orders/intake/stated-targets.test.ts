import { create } from "@bufbuild/protobuf";
import { SetTargetsRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { setTargets } from "../rpc/order-routes.ts";
import { OrderBench } from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

async function onPaper(shares: Record<string, number> = { A: 0.4 }): Promise<void> {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote(shares);
}

test.each([
  { what: "of a sender whose gate is shut", leaseId: "", reason: "GATE_SHUT" },
  { what: "under another session's lease", leaseId: "other/1", reason: "LEASE_MISSING" },
  { what: "under no lease of anybody", leaseId: "session-A/x", reason: "LEASE_MISSING" },
])("a target $what is $reason, and the end of its row counts", async ({ leaseId, reason }) => {
  await onPaper();
  const before = bench.router.head;

  const answer = await bench.end("A", 0, 1, { leaseId });

  expect(answer.results?.[0]).toMatchObject({ accepted: false, reason, clientOrderIds: [] });
  expect(bench.ended).toEqual(["sp500 session-A 0"]);
  expect(bench.router.head).toBe(before);
  const armed = await bench.end("A", 0, 1);
  expect(armed.results?.[0]).toMatchObject({ accepted: true, reason: "" });
});

test("a target that no lease stands behind is not kept for the end of a halt either", async () => {
  await onPaper();
  await bench.halt({ scope: "strategy", target: "A" });

  const answer = await bench.end("A", 0, 1, { leaseId: "" });

  expect(answer.results?.[0]).toMatchObject({ accepted: false, reason: "GATE_SHUT" });
  expect(await bench.resume({ scope: "strategy", target: "A" })).toEqual([]);
});

test("a target of a bucket that has not closed is MARK_INVALID, and keeps no later one from being taken", async () => {
  await onPaper();

  const early = await bench.end("A", 0, 1, { bucket: Date.UTC(9999, 11, 31) });
  const inTime = await bench.end("A", 0, 1);

  expect(early.results?.[0]).toMatchObject({ accepted: false, reason: "MARK_INVALID" });
  expect(inTime.results?.[0]).toMatchObject({ accepted: true, reason: "" });
  expect(await bench.list()).toHaveLength(1);
});

test("a target of a row that is not in the log is refused by its field, and nothing is booked", async () => {
  await onPaper();
  bench.logRow = 0;

  await expect(bench.end("A", 0, 1, { targetRow: 1 })).rejects.toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "update.targets[0].row" }],
  });
  expect(bench.ended).toEqual([]);
  expect(await bench.list()).toEqual([]);
});

test("a call whose content cannot be booked is refused alone, and the others of its slice are taken", async () => {
  await onPaper({ A: 0.4, B: 0.3 });

  const [wrong, right] = await Promise.allSettled([
    bench.end("A", 0, undefined, { wanted: 2n ** 64n - 1n }),
    bench.end("B", 0, 1),
  ]);

  expect(wrong).toMatchObject({ reason: { reason: "INVALID_FIELD" } });
  expect(right).toMatchObject({ value: { results: [{ accepted: true, reason: "" }] } });
  expect(await bench.list()).toHaveLength(1);
  const later = await bench.end("A", 0, 1, { wanted: 3n });
  expect(later.results?.[0]).toMatchObject({ accepted: true, reason: "" });
});

test("the end of a runner whose world is gone is refused alone, and the others of its slice are taken", async () => {
  await onPaper();
  const request = create(SetTargetsRequestSchema, {
    update: {
      claim: { domain: ExecutionDomain.BACKTEST },
      ends: [{ source: "sp500", row: 0n }],
      strategyIds: ["Z"],
    },
  });
  const session = {
    ...{ sessionId: "session-Z", worldId: "gone", strategyIds: ["Z"], sources: [] },
    rights: ["observe", "compute"] as const,
  };

  const [gone, right] = await Promise.allSettled([
    setTargets(bench.orders, request, session, Number.POSITIVE_INFINITY),
    bench.end("A", 0, 1),
  ]);

  expect(gone).toMatchObject({ reason: { reason: "WORLD_NOT_FOUND" } });
  expect(right).toMatchObject({ value: { results: [{ accepted: true, reason: "" }] } });
});
