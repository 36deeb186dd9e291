import { create } from "@bufbuild/protobuf";
import {
  ApplyPhase,
  type GateState,
  GateStateSchema,
  HoldKind,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { silentLogger } from "@qmtl/service-kit";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { ComputeOnlyWorlds } from "./compute-only.ts";

const { COMPUTE_ONLY, PAPER, UNSPECIFIED, VALIDATE } = EffectiveMode;

function rig(change: object = {}) {
  const clock = new ManualClock();
  const gate = (more: object): GateState => {
    const state = create(GateStateSchema, {
      worldId: "w",
      revision: 7n,
      phase: ApplyPhase.COMPLETED,
      decision: { mode: COMPUTE_ONLY },
      activations: [{ strategyId: "s", effectiveMode: COMPUTE_ONLY }],
    });
    return Object.assign(state, more);
  };
  const stages: readonly EffectiveMode[] = [COMPUTE_ONLY, VALIDATE];
  const at = { gate: gate(change) as GateState | undefined, stages };
  let isDown = false;
  let reads = 0;
  let changes = 0;
  const worlds = new ComputeOnlyWorlds({
    clock,
    logger: silentLogger,
    gates: { state: () => at.gate },
    stagesOf: async () => {
      reads += 1;
      if (isDown) throw new Error("down");
      return at.stages;
    },
    changed: () => {
      changes += 1;
    },
  });
  /** The answer once what is to be read was read. */
  const has = async (): Promise<boolean> => {
    worlds.has("w");
    await new Promise((resolve) => setImmediate(resolve));
    return worlds.has("w");
  };
  const down = (isNow: boolean): void => {
    isDown = isNow;
  };
  return { at, clock, worlds, gate, has, down, counts: () => [reads, changes] };
}

test("a world may only compute once the stages of its strategies are known to be below paper", async () => {
  const { worlds, at, has, counts } = rig();
  expect(worlds.has("w")).toBe(false);
  expect(await has()).toBe(true);
  expect(counts()).toEqual([1, 1]);

  at.gate = undefined;
  expect(worlds.has("w")).toBe(false);
});

test.each([
  ["a strategy has the stage paper although its mode has fallen", {}, [COMPUTE_ONLY, PAPER]],
  ["a stage is not stated", {}, [UNSPECIFIED]],
  ["an apply is under way", { phase: ApplyPhase.FREEZING }, [COMPUTE_ONLY]],
  ["its apply has switched and not opened it", { phase: ApplyPhase.SWITCHED }, [COMPUTE_ONLY]],
  ["it was rolled back", { phase: ApplyPhase.ROLLED_BACK }, [COMPUTE_ONLY]],
  ["an operator froze it", { holds: [{ kind: HoldKind.MANUAL }] }, [COMPUTE_ONLY]],
  ["its decision is paper", { decision: { mode: PAPER } }, [COMPUTE_ONLY]],
  ["its decision is not known", { decision: undefined }, [COMPUTE_ONLY]],
  ["one of its activations is paper", { activations: [{ effectiveMode: PAPER }] }, [COMPUTE_ONLY]],
] as const)("a world may order while %s", async (_, change, stages) => {
  const { at, has } = rig(change);
  at.stages = stages;

  expect(await has()).toBe(false);
});

test("stages are read again under another revision of the gate, and when they are old", async () => {
  const { at, clock, worlds, gate, has, counts } = rig();
  await has();
  at.gate = gate({ revision: 8n });
  expect(worlds.has("w")).toBe(false);
  expect(await has()).toBe(true);

  await clock.advance(2_000);
  expect(worlds.has("w")).toBe(true);
  expect(counts()[0]).toBe(3);
});

test("stages that cannot be read again are not known any more after 10 s, and are not asked for all the time", async () => {
  const { clock, worlds, has, down, counts } = rig();
  await has();
  down(true);
  for (let at = 0; at < 9; at++) {
    await clock.advance(1_000);
    expect(await has()).toBe(true);
  }
  await clock.advance(1_000);

  expect(worlds.has("w")).toBe(false);
  expect(counts()[0]).toBeLessThan(8);
});
