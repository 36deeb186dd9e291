import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { OrderBench, replayWorld } from "../testing/order-bench.ts";

let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(async () => {
  bench.db.isDown = false;
  await bench.orders.stop();
});

const late = "a change of a gate is not carried out yet; trying again until it is";

/** A working opening order of A, decided on the first bar. */
async function working(shares = { A: 0.4 }, world = replayWorld): Promise<OrderBench> {
  bench = await OrderBench.open(host, undefined, world);
  await bench.bar(0, 100);
  await bench.promote(shares);
  await bench.end("A", 0, 1);
  return bench;
}

const gateOf = () => bench.orders.gates.get("w1")!;
const lateLines = () => bench.warnings.filter((text) => text.startsWith(late));
const states = async () => (await bench.list()).map(({ state }) => state);

async function storedGate() {
  const [row] = await bench.db.query<{ fence: number; gate: string; settled_fence: number }>(
    "SELECT fence, gate, settled_fence FROM gateway.gate_fence",
  );
  return row;
}

/** Waits until the last state is adopted and everything that follows from it is stored. */
async function followed(): Promise<void> {
  await bench.applied();
  await waitUntil(() => bench.orders.overdueOf("w1") === undefined, { what: "nothing owed" });
  await bench.idle();
}

describe("a change of a gate that meets a database outage", () => {
  test("a gate that opens stays shut until the outage is over, and lets orders out then", async () => {
    await working();
    bench.world.setGate("CLOSED");
    await bench.applied();
    bench.db.isDown = true;
    bench.world.setGate("OPEN");
    await waitUntil(() => bench.orders.overdueOf("w1") !== undefined, { what: "overdue" });
    expect(gateOf().applied?.gate).toBe("CLOSED");

    bench.db.isDown = false;
    await bench.armed();

    expect(await storedGate()).toMatchObject({ gate: "OPEN", fence: bench.world.fence });
    await bench.bar(1, 100);
    expect((await bench.end("A", 1, 0.9)).results).toMatchObject([{ reason: "" }]);
  });

  test("a freeze shuts the gate at once and cancels the opening order once the database answers", async () => {
    await working();
    bench.db.isDown = true;
    bench.world.setGate("CLOSED");
    await bench.applied();
    expect(gateOf().isArmed).toBe(false);

    bench.db.isDown = false;
    await waitUntil(async () => (await states())[0] === "cancelled", { what: "cancelled" });

    expect(lateLines()).toHaveLength(1);
    await followed();
    expect(await storedGate()).toMatchObject({ gate: "CLOSED", settled_fence: bench.world.fence });
  });

  test("a demotion closes the position once the database answers", async () => {
    await working();
    await bench.bar(1, 100);
    expect(bench.lots("A")).toBeGreaterThan(0);
    bench.db.isDown = true;
    bench.world.modes.set("A", "compute-only");
    bench.world.publish();
    await bench.applied();

    bench.db.isDown = false;
    await followed();
    await bench.bar(2, 100);

    expect(bench.lots("A")).toBe(0);
  });

  test("a freeze that was lifted before the database answered cancels the opening order all the same", async () => {
    await working();
    bench.db.isDown = true;
    bench.world.setGate("CLOSED");
    bench.world.setGate("OPEN");
    await waitUntil(() => bench.orders.overdueOf("w1") !== undefined, { what: "overdue" });
    expect(gateOf().isArmed).toBe(false);

    bench.db.isDown = false;
    await bench.armed();

    expect(await states()).toContain("cancelled");
  });

  test("the cancels of a freeze that a stopped gateway did not store are those of the next one", async () => {
    await working();
    bench.db.isDown = true;
    bench.world.setGate("CLOSED");
    await bench.applied();
    bench.world.setGate("OPEN");
    bench.whileDown = async () => {
      bench.db.isDown = false;
    };
    await bench.restart();
    await bench.armed();

    expect(await states()).toContain("cancelled");
  });

  test("what on_lease_lost asks for is done once the database answers, if the lease ran out while it did not", async () => {
    bench = await OrderBench.open(host);
    bench.world.leaseMs = 1_500;
    await bench.bar(0, 100);
    await bench.promote({ A: 0.4 });
    await bench.end("A", 0, 1);
    bench.world.isDown = true;
    bench.db.isDown = true;
    await waitUntil(() => !gateOf().isArmed && bench.orders.overdueOf("w1") !== undefined, {
      what: "lapsed",
      timeoutMs: 10_000,
    });

    bench.db.isDown = false;
    await waitUntil(async () => (await states())[0] === "cancelled", { what: "cancelled" });
  });

  test("an outage of the database is one warn line for each world, however often it is tried again", async () => {
    await working();
    bench.db.isDown = true;
    bench.world.setGate("CLOSED");
    await bench.applied();
    await new Promise((resolve) => setTimeout(resolve, 800));
    bench.db.isDown = false;
    await followed();
    expect(lateLines()).toHaveLength(1);
  });
});

test("a gateway that starts over an open gate and gets no lease does what on_lease_lost says", async () => {
  await working();
  bench.world.grants = false;
  await bench.restart();
  expect(await states()).toEqual(["accepted"]);
  await waitUntil(async () => (await states())[0] === "cancelled", {
    what: "cancelled",
    timeoutMs: 12_000,
  });
}, 20_000);

describe("strategies that enter a stage", () => {
  test("get their capital once WorldService gives the shares, however long that takes", async () => {
    bench = await OrderBench.open(host);
    await bench.bar(0, 100);
    const shares = bench.world.shares.bind(bench.world);
    bench.world.shares = async () => {
      throw new Error("no answer");
    };
    await bench.promote({ A: 0.4 });
    await waitUntil(() => bench.orders.overdueOf("w1")?.includes("capital shares") === true, {
      what: "the reason",
    });
    await new Promise((resolve) => setTimeout(resolve, 5_500));
    expect((await bench.end("A", 0, 1)).results).toMatchObject([{ accepted: false }]);
    bench.world.shares = shares;
    await followed();

    await bench.bar(1, 100);
    expect((await bench.end("A", 1, 1)).results).toMatchObject([{ accepted: true, reason: "" }]);
  }, 20_000);

  test("are no longer waited for once the gate has taken their stage back", async () => {
    bench = await OrderBench.open(host);
    await bench.bar(0, 100);
    bench.world.shares = async () => {
      throw new Error("no answer");
    };
    await bench.promote({ A: 0.4 });
    await waitUntil(() => bench.orders.overdueOf("w1") !== undefined, { what: "overdue" });
    bench.world.modes.set("A", "compute-only");
    bench.world.publish();
    await followed();
    expect(bench.router.core.strategy("w1", "A")).toBeUndefined();
  });
});

describe("settings that changed before the gate did", () => {
  test("a demotion does what on_demote says by then", async () => {
    await working({ A: 0.4 }, { ...replayWorld, onDemote: "keep" });
    await bench.bar(1, 100);
    bench.world.settings = { ...bench.world.settings, onDemote: "flat" };
    bench.world.modes.set("A", "compute-only");
    bench.world.publish();
    await followed();
    await bench.bar(2, 100);
    expect(bench.lots("A")).toBe(0);
  });

  test("a gate that opens while WorldService does not give the settings stays shut until it does", async () => {
    await working();
    bench.world.setGate("CLOSED");
    await bench.applied();
    const world = bench.world.world.bind(bench.world);
    bench.world.world = async () => {
      throw new Error("no answer");
    };
    bench.world.setGate("OPEN");
    await waitUntil(() => bench.orders.overdueOf("w1") !== undefined, { what: "overdue" });
    expect(gateOf().applied?.gate).toBe("CLOSED");
    bench.world.world = world;
    await bench.armed();
  });
});

describe("a deleted world", () => {
  const deleted = () => {
    bench.world.modes.clear();
    bench.world.setGate("CLOSED");
    bench.world.settings = { ...bench.world.settings, worldId: "another" };
  };

  test("is neither followed nor counted any more, also after a restart, and its journal stays", async () => {
    bench = await OrderBench.open(host);
    await bench.bar(0, 100);
    await bench.promote({ A: 0.4 });
    const before = bench.router.head;
    deleted();
    await waitUntil(() => bench.orders.worlds.size === 0, { what: "let go" });
    await waitUntil(() => bench.orders.gates.size === 0, { what: "let go" });
    const { length } = bench.world.heartbeats;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(bench.world.heartbeats.length).toBeLessThanOrEqual(length + 1);
    expect(bench.orders.sharing(["other"]).worldIds).toEqual(["other"]);
    await bench.restart();
    expect(bench.orders.worlds.size).toBe(0);
    expect(bench.router.head).toBeGreaterThan(before);
  });

  test("stays while its account has a position of it", async () => {
    await working({ A: 0.4 }, { ...replayWorld, onDemote: "keep" });
    await bench.bar(1, 100);
    deleted();
    await waitUntil(() => bench.warnings.some((text) => text.includes("stays until its account")), {
      what: "warned",
    });
    expect(bench.orders.worlds.has("w1")).toBe(true);
  });
});
