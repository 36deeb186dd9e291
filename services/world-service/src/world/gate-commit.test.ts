import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { failpoints } from "@qmtl/service-kit";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorld } from "../testing/make-world.ts";
import { advance, openWorldService } from "../testing/open-world-service.ts";

let host: Awaited<ReturnType<typeof openTestPglite>>;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());

/** Begins an apply in a process that dies at `point`: from then on nothing in it moves. */
async function applyAndDie(worldId: string, point: string): Promise<void> {
  const clock = new ManualClock();
  const w = await openWorldService((schema) => host.db(schema), clock);
  await makeWorld(w, worldId, ["s-a"]);
  let isDead = false;
  let die = (): void => {};
  const death = new Promise<void>((resolve) => {
    die = () => {
      isDead = true;
      resolve();
    };
  });
  failpoints.arm({ spec: point, testMode: true, die });
  const ask = { worldId, runId: "r1", targetMode: EffectiveMode.COMPUTE_ONLY };
  // Never answered: its process is dead.
  void w.collect(ActivationService.method.apply, ask).catch(() => {});
  while (!isDead) {
    const actor = w.instance.worlds.get(worldId);
    // Time moves while the run waits for something, never while something is being committed.
    await Promise.race([actor.settled(), death]);
    if (actor.isRunInFlight || actor.state.lastRun?.run.state === "UNFROZEN") clock.advance(25);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("an apply whose process dies", () => {
  const points = ["apply", "switch", "unfreeze", "complete"].flatMap((kind) => [
    `w.${kind}.before_commit`,
    `w.${kind}.after_commit`,
  ]);
  test.each(points)(
    "at %s is whole, or was never begun, at the next one",
    async (point) => {
      const worldId = point.replaceAll(/[._]/g, "-");
      await applyAndDie(worldId, point);

      const clock = new ManualClock();
      const next = await openWorldService((schema) => host.db(schema), clock);
      const actorOf = () => next.instance.worlds.get(worldId);
      await advance(clock, actorOf, 25_000, 250);

      const { gate, activations, fence } = actorOf().row;
      const state = actorOf().state.lastRun?.run.state;
      const stages = [...actorOf().state.bindings.values()].map(({ stage }) => stage);
      await next.instance.stop();
      const isBegun = point !== "w.apply.before_commit";
      expect({ gate, fence, state }).toEqual({
        gate: "OPEN",
        fence: isBegun ? 2 : 1,
        state: isBegun ? "COMPLETED" : undefined,
      });
      expect(activations.filter((each) => each.active)).toHaveLength(isBegun ? 2 : 0);
      expect(stages).toEqual([isBegun ? "compute-only" : "validate"]);
      const [stored] = await host
        .db("world")
        .query<{ state: string }>("SELECT state FROM world.apply_run WHERE world_id = $1", [
          worldId,
        ]);
      expect(stored?.state).toBe(isBegun ? "COMPLETED" : undefined);
    },
    60_000,
  );
});
