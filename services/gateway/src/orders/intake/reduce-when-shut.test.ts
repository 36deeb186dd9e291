import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type Halt, insertHalt } from "../store/halts.ts";
import {
  type BenchOptions,
  type BenchOrder,
  OrderBench,
  paperAccount,
  replayWorld,
} from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;

beforeAll(async () => {
  host = await openTestPglite();
});
afterEach(() => bench.orders.stop());
afterAll(() => host.close());

/** A holds 100 lots since row 2; then the gate is shut, and its sender has no lease. */
async function shut(
  settings: Partial<typeof replayWorld> = {},
  options: BenchOptions = {},
): Promise<void> {
  const world = { ...replayWorld, reduceOnlyWhenShut: true, ...settings };
  bench = await OrderBench.open(host, paperAccount, world, options);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.bar(1, 100);
  await bench.submit("A", 1, [{ quantity: "10" }]);
  await bench.bar(2, 100);
  bench.world.setGate("CLOSED");
  await bench.applied();
}

async function submit(order: BenchOrder, how: Parameters<OrderBench["submit"]>[3] = {}) {
  const { results = [] } = await bench.submit("A", 2, [order], { leaseId: "", ...how });
  return results[0];
}

const reducing = { quantity: "-4", reduceOnly: true } as const;

const halt: Halt = {
  haltId: "h-1",
  scope: "strategy",
  target: "A",
  reason: "test",
  principal: "ann",
  timeMs: 1,
};

test("a reduce-only order leaves a shut gate, is taken in by the broker under its fence, and fills", async () => {
  await shut();

  const result = await submit(reducing);
  await bench.bar(3, 100);

  expect(result).toMatchObject({ accepted: true, reason: "" });
  const { fence } = bench.world;
  expect((await bench.accepted()).at(-1)).toMatchObject({ origin: "plain", lots: -40, fence });
  expect(bench.lots("A")).toBe(60);
});

test("a sender that has not heard of the freeze yet is taken at its word about what it reduces", async () => {
  await shut();

  const result = await submit(reducing, { fence: bench.world.fence - 1, leaseId: "session-A/9" });

  expect(result).toMatchObject({ accepted: true, reason: "" });
});

test("it leaves while the router has no lease, too", async () => {
  await shut();
  bench.world.setGate("OPEN");
  bench.world.grants = false;
  await bench.applied();

  expect(await submit({ quantity: "-4" }, { leaseId: "session-A/1" })).toMatchObject({
    reason: "LEASE_MISSING",
  });
  expect(await submit(reducing)).toMatchObject({ accepted: true, reason: "" });
});

test.each<{ what: string; order: BenchOrder; reason: string }>([
  { what: "an order that does not say so", order: { quantity: "-4" }, reason: "GATE_SHUT" },
  { what: "more than is held", order: { quantity: "-11", reduceOnly: true }, reason: "OVER_LIMIT" },
  { what: "a purchase", order: { quantity: "1", reduceOnly: true }, reason: "OVER_LIMIT" },
])("while the gate is shut $what is refused", async ({ order, reason }) => {
  await shut();
  const before = bench.router.head;

  expect(await submit(order)).toMatchObject({ accepted: false, reason, clientOrderIds: [] });
  expect(await bench.accepted()).toHaveLength(1);
  expect((await bench.list()).length).toBe(1);
  expect(bench.router.head - before).toBe(reason === "OVER_LIMIT" ? 2 : 0);
});

test("what is held counts once: a second order finds nothing left to reduce", async () => {
  await shut();
  await submit({ quantity: "-10", reduceOnly: true });

  const result = await submit({ quantity: "-1", reduceOnly: true });

  expect(result).toMatchObject({ accepted: false, reason: "OVER_LIMIT" });
});

test("without reduce_only_when_shut a reduce-only order is refused like any other", async () => {
  await shut({ reduceOnlyWhenShut: false });

  expect(await submit(reducing)).toMatchObject({ accepted: false, reason: "GATE_SHUT" });
  expect(await bench.accepted()).toHaveLength(1);
});

test("another session than the last emitter is refused, and so is any while nobody told who that is", async () => {
  await shut();
  const refused = { accepted: false, reason: "NOT_EMITTER" };

  expect(await submit(reducing, { sessionId: "other" })).toMatchObject(refused);
  bench.world.emitters.clear();
  await bench.restart();
  await bench.applied();
  expect(await submit(reducing)).toMatchObject(refused);
  bench.world.emitters.set("A", "session-A");
  await bench.orders.gates.get("w1")?.beat();
  expect(await submit(reducing)).toMatchObject({ accepted: true, reason: "" });
});

test("a target of less is refused while the gate is shut", async () => {
  await shut();

  const { results = [] } = await bench.end("A", 2, 0);

  expect(results[0]).toMatchObject({ accepted: false, reason: "GATE_SHUT" });
  expect(await bench.accepted()).toHaveLength(1);
});

test("a halt refuses it, by name", async () => {
  await shut();
  await bench.halt({ scope: "world", target: "w1" });

  const result = await submit(reducing);

  expect(result).toMatchObject({ accepted: false, reason: "HALTED" });
  expect(result?.haltIds).toHaveLength(1);
  expect(await bench.accepted()).toHaveLength(1);
});

test("a halt that was stored meanwhile stops the transaction", async () => {
  await shut();
  await insertHalt(bench.db, halt);
  const before = bench.router.head;

  const result = await submit(reducing);

  expect(result).toMatchObject({ accepted: false, reason: "HALTED", clientOrderIds: [] });
  expect(bench.router.head).toBe(before);
});

test("a halt that is set between the commit and the sending keeps it here", async () => {
  await shut({}, { isBrokerRemote: true });
  const commit = bench.router.commit.bind(bench.router);
  bench.router.commit = async (...booking) => {
    await commit(...booking);
    bench.orders.halts.set(halt);
  };

  const result = await submit(reducing);

  expect(result).toMatchObject({ accepted: true });
  expect((await bench.list()).at(-1)).toMatchObject({ state: "rejected", reason: "HALTED" });
  expect(await bench.accepted()).toHaveLength(1);
});

/** Something happens once the order is decided, and before the broker of this database is given it. */
function beforeHandingOver(happens: () => unknown): void {
  const prepare = bench.broker.prepare.bind(bench.broker);
  vi.spyOn(bench.broker, "prepare").mockImplementationOnce(async () => {
    const booking = await prepare();
    happens();
    return booking;
  });
}

test("a halt that is set between the decision and the handing over in one commit keeps it here", async () => {
  await shut();
  beforeHandingOver(() => bench.orders.halts.set(halt));

  const result = await submit(reducing);

  expect(result).toMatchObject({ accepted: true });
  expect((await bench.list()).at(-1)).toMatchObject({ state: "rejected", reason: "HALTED" });
  expect(await bench.accepted()).toHaveLength(1);
});

test("a halt that is set between the handing over and the commit undoes both", async () => {
  await shut();
  const before = bench.router.head;
  const commit = bench.router.commit.bind(bench.router);
  vi.spyOn(bench.router, "commit").mockImplementationOnce((...booking) => {
    bench.orders.halts.set(halt);
    return commit(...booking);
  });

  const result = await submit(reducing);

  expect(result).toMatchObject({ accepted: false, reason: "HALTED", clientOrderIds: [] });
  expect(bench.router.head).toBe(before);
  expect(await bench.accepted()).toHaveLength(1);
  await bench.bar(3, 100);
  expect(bench.lots("A")).toBe(100);
  expect((await bench.orders.reconcile(bench.router)).difference).toBe("");
});

test.each<{
  what: string;
  order: BenchOrder;
  leaseId: string;
  isOpen: boolean;
  isRemote: boolean;
}>(
  [true, false].flatMap((isRemote) => [
    { what: "an order", order: { quantity: "4" }, leaseId: "session-A/1", isOpen: true, isRemote },
    { what: "one that only reduces", order: reducing, leaseId: "", isOpen: false, isRemote },
  ]),
)(
  "$what whose world is let go between the decision and the sending does not reach the broker, elsewhere: $isRemote",
  async ({ order, leaseId, isOpen, isRemote }) => {
    await shut({}, { isBrokerRemote: isRemote });
    if (isOpen) bench.world.setGate("OPEN");
    if (isOpen) await bench.armed();
    await bench.bar(3, 100);
    const letGo = () => void vi.spyOn(bench.orders.gates, "get").mockReturnValue(undefined);
    if (isRemote) {
      const commit = bench.router.commit.bind(bench.router);
      bench.router.commit = (...booking) => commit(...booking).then(letGo);
    } else {
      beforeHandingOver(letGo);
    }

    const { results = [] } = await bench.submit("A", 3, [order], { leaseId });
    vi.restoreAllMocks();

    expect(results[0]).toMatchObject({ accepted: true });
    expect((await bench.list()).at(-1)).toMatchObject({ state: "rejected", reason: "GATE_SHUT" });
    expect(await bench.accepted()).toHaveLength(1);
  },
);

test.each([
  { cancelProtective: false, state: "accepted" },
  { cancelProtective: true, state: "cancelled" },
])(
  "one that waits for a price is $state after the next gate event, with cancel_protective $cancelProtective",
  async ({ cancelProtective, state }) => {
    await shut({ cancelProtective });
    await submit({ ...reducing, limit: "150" });

    bench.world.publish();
    await bench.applied();

    expect((await bench.list()).at(-1)).toMatchObject({ lots: -40, state });
  },
);
