import fc from "fast-check";
import { expect, test } from "vitest";
import { applyGateDelta, diffGateState } from "./gate-delta.ts";
import { type Activation, compareActivations, type GateState, stateHash } from "./gate-state.ts";

const text = (value: string): string => value;
const leaf = fc.record({
  strategyId: fc.constantFrom("a", "b", "c"),
  side: fc.constantFrom("long" as const, "short" as const),
  active: fc.boolean(),
  weight: fc.constantFrom(0, 0.5, 1),
  freeze: fc.boolean(),
  drain: fc.boolean(),
  effectiveMode: fc.constantFrom("paper" as const, "live" as const, "validate" as const),
});
const state: fc.Arbitrary<GateState> = fc
  .record({
    fence: fc.integer({ min: 1, max: 9 }),
    activations: fc.uniqueArray(leaf, { selector: (a) => a.strategyId + a.side }),
    decision: fc.record({ id: fc.string(), mode: fc.constant("paper" as const) }),
  })
  .map(({ fence, activations, decision }) => ({
    worldId: "w",
    storeEpoch: 1,
    revision: 1,
    fence,
    gate: "OPEN",
    holds: [],
    runId: null,
    phase: null,
    decision,
    activations: [...activations].sort(compareActivations),
    requiredRevision: 1,
  }));

test("a delta leads from one state to the next", () => {
  fc.assert(
    fc.property(state, state, (before, to) => {
      const after = { ...to, revision: 2 };

      expect(applyGateDelta(before, diffGateState(before, after))).toEqual(after);
    }),
    { seed: 1 },
  );
});

test("the hash sees its scope only, not the order of leaves", () => {
  const other: Activation = {
    strategyId: "z",
    side: "long",
    active: true,
    weight: 1,
    freeze: false,
    drain: false,
    effectiveMode: "paper",
  };
  fc.assert(
    fc.property(state, (s) => {
      const more = { ...s, activations: [other, ...s.activations].reverse() };

      expect(stateHash(more, ["a"], text)).toBe(stateHash(s, ["a"], text));
      expect(stateHash(more, "*", text)).not.toBe(stateHash(s, "*", text));
      expect(stateHash({ ...s, revision: 2 }, ["a"], text)).not.toBe(stateHash(s, ["a"], text));
    }),
    { seed: 2 },
  );
});
