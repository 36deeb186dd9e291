import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClockPortWorld } from "./clock-port-world.ts";
import { seeded } from "./seeded.ts";

const isFull = process.env.QMTL_MODEL === "full";

const slot = fc.integer({ min: 0, max: 3 });
const fault = fc.oneof(
  fc.constant((w: ClockPortWorld) => w.service.apply()),
  fc.constant((w: ClockPortWorld) =>
    w.service.command({ kind: "freeze", hold: "manual", reason: "test" }),
  ),
  fc
    .constantFrom("manual" as const, "rollback" as const, "breaker" as const)
    .map(
      (hold) => (w: ClockPortWorld) => w.service.command({ kind: "resume", hold, reason: "test" }),
    ),
  fc.constant((w: ClockPortWorld) => w.service.command({ kind: "cancel", reason: "test" })),
  fc.boolean().map((isActive) => (w: ClockPortWorld) => w.service.switchActive("alpha", isActive)),
  fc
    .constantFrom(0, 0.5, 1)
    .map((weight) => (w: ClockPortWorld) => w.service.setWeight("alpha", weight)),
  fc.constant((w: ClockPortWorld) => w.service.crash()),
  fc.constant((w: ClockPortWorld) => w.service.restart()),
  slot.map((s) => (w: ClockPortWorld) => w.crashClient(s)),
  fc.tuple(slot, fc.integer({ min: 100, max: 15_000 })).map(
    ([s, ms]) =>
      (w: ClockPortWorld) =>
        w.pauseClient(s, ms),
  ),
  fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 500, max: 8_000 })).map(
    ([g, ms]) =>
      (w: ClockPortWorld) =>
        w.cutGateway(g, ms),
  ),
  slot.map((s) => (w: ClockPortWorld) => w.haltClient(s)),
  slot.map((s) => (w: ClockPortWorld) => w.clearClient(s)),
);

const story = fc.record({
  seed: fc.integer(),
  faults: fc.array(fc.tuple(fc.integer({ min: 1, max: 80 }), fault), {
    minLength: 3,
    maxLength: 25,
  }),
});

/** Ends all faults: WorldService up, latches cleared, holds resumed; the world must then settle by itself. */
function calmDown(world: ClockPortWorld): void {
  world.isCalm = true;
  world.service.restart();
  for (let i = 0; i < 4; i++) world.pauseClient(i, 0);
  // A process that was paused before writing its order writes it late now, which sets its latch, too.
  world.step();
  for (let i = 0; i < 4; i++) world.clearClient(i);
  const patienceSteps = 1_400;
  for (let i = 0; i < patienceSteps; i++) {
    for (const hold of world.row.holds)
      world.service.command({ kind: "resume", hold, reason: "calm" });
    world.step();
  }
}

describe("W, two gateways, three SDK sessions and a router under virtual time", () => {
  test("I1 to I3 hold after every step, and the world settles when the faults end", {
    timeout: 300_000,
  }, () => {
    let orders = 0;
    let commits = 0;
    fc.assert(
      fc.property(story, ({ seed, faults }) => {
        const world = new ClockPortWorld(seeded(seed));

        for (const [steps, act] of faults) {
          for (let i = 0; i < steps; i++) world.step();
          act(world);
          expect(world.oracle.violations).toEqual([]);
        }
        calmDown(world);

        expect(world.oracle.violations).toEqual([]);
        expect(world.row.gate).toBe("OPEN");
        expect(["FREEZING", "SWITCHED"]).not.toContain(world.run?.state);
        expect(world.armed).toBeGreaterThan(1);
        orders += world.oracle.orders;
        commits += world.oracle.commits;
      }),
      { seed: 20_240_607, numRuns: isFull ? 4_000 : 300 },
    );
    expect(orders).toBeGreaterThan(1_000);
    expect(commits).toBeGreaterThan(500);
  });
});
