import { blake3Hex } from "@qmtl/core/canonical";
import { readingAt } from "@qmtl/core/gate";
import { silentLogger } from "@qmtl/service-kit";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { gateStateFrom } from "../rpc/order-gate-state.ts";
import { RelayedLeases } from "../rpc/relayed-leases.ts";
import { FakeWorld } from "../testing/fake-world.ts";
import { replayWorld } from "../testing/order-bench.ts";
import { RouterGate } from "./router-gate.ts";

const sessionId = "router";
const order = {
  strategyId: "A",
  side: "long",
  domain: "dryrun",
  sessionId: "session-A",
  fence: 1,
} as const;

/** The router's session with a lease of 10 s, of which 9 can be used. */
async function armed(emitMaxMs: number | undefined) {
  // What the gate reads; its timers stand still.
  const clocks = { nowMs: 0 };
  const world = new FakeWorld(replayWorld);
  world.emitMaxMs = emitMaxMs;
  world.modes.set("A", "paper");
  world.emitters.set("A", "session-A");
  world.publish();
  const gate = new RouterGate({
    worldId: world.worldId,
    sessionId,
    hash: (text) => `blake3:${blake3Hex(text)}`,
    clock: new ManualClock(),
    readClocks: () => readingAt(clocks.nowMs),
    logger: silentLogger,
    leases: new RelayedLeases(world),
    dataClock: { dataNow: () => 0 },
    wasOpen: false,
    events: {
      armed() {},
      lapsed() {},
      emitterLost() {},
      snapshotWanted() {},
      lateOrderChanged() {},
    },
  });
  const state = await world.ensure();
  gate.adopt(gateStateFrom(state), state.stateHash);
  await gate.beat();
  return { gate, clocks };
}

test.each([
  ["300 ms where the world states none", undefined, 300],
  ["50 ms where the world says so", 50, 50],
  ["700 ms where the world says so", 700, 700],
] as const)(
  "an order whose write ends past the lease is late after more than %s",
  async (_, emitMaxMs, pauseMsMax) => {
    const lateAfter = async (pauseMs: number) => {
      const { gate, clocks } = await armed(emitMaxMs);
      clocks.nowMs += 8_990;
      const permit = gate.begin(order);
      if (typeof permit === "string") throw new Error(permit);
      clocks.nowMs += pauseMs;
      return [gate.end(permit, "q1"), gate.lateWrites];
    };

    expect(await lateAfter(pauseMsMax)).toEqual([false, 0]);
    expect(await lateAfter(pauseMsMax + 1)).toEqual([true, 1]);
  },
);
