import { describe, expect, test } from "vitest";
import { GATE_MUTANTS } from "./gate-mutants.ts";
import { searchGate } from "./gate-search.ts";
import { BASE_CONFIG, type GateModelConfig } from "./gate-world.ts";

const isFull = process.env.QMTL_MODEL === "full";

/** Default runs stop at this many states; `QMTL_MODEL=full` searches one session to the end. */
const quickStatesMax = 40_000;
/** Two sessions have too many states for a complete search: the full run stops at this many. */
const fullStatesMax = 2_000_000;

const quiet = { serviceCrashes: 0, sessionCrashes: 0, nacks: 0 };
const PROTOCOL: readonly [name: string, options: Partial<GateModelConfig>][] = [
  ["1 session, an apply, crash of W", { lease: 3, sessionCrashes: 0, nacks: 0 }],
  ["1 session, an apply, crashes of both, a NACK", {}],
  [
    "1 session, manual freeze and resume, crash of W",
    { applies: 0, freezes: 1, sessionCrashes: 0, nacks: 0 },
  ],
  ["1 session, activation off outside an apply", { ...quiet, switchOffs: 1 }],
  ["1 session, decision with a time to live", { ...quiet, ttl: 5 }],
  ["2 sessions, an apply, crash of W", { sessions: 2, lease: 3, sessionCrashes: 0, nacks: 0 }],
];

describe("the order gate holds, with the product's own session and gate machines", () => {
  for (const [name, options] of PROTOCOL) {
    test(`I1 to I3 hold: ${name}`, { timeout: isFull ? 1_800_000 : 60_000 }, () => {
      const statesMax = isFull ? fullStatesMax : quickStatesMax;

      const result = searchGate({ ...BASE_CONFIG, ...options, statesMax });

      expect(result.violation, result.trace.join("\n")).toBeNull();
      if (isFull && options.sessions !== 2) expect(result.verdict).toBe("holds");
      expect(result.states).toBeGreaterThan(1_000);
      expect(result.orders).toBeGreaterThan(20);
    });
  }

  test("there is no dead end: from every reachable state the world can settle again", {
    timeout: 600_000,
  }, () => {
    const bounds = { ...BASE_CONFIG, ...quiet, lease: 3, statesMax: 2_000_000 };
    const options = isFull ? { serviceCrashes: 1, nacks: 1 } : {};

    const result = searchGate({ ...bounds, ...options }, {}, true);

    expect(result.verdict, result.trace.join("\n")).toBe("holds");
    expect(result.deadEnds).toBe(0);
  });
});

describe("seeded mutants of the order gate are caught", () => {
  for (const { name, config, over, breaks } of GATE_MUTANTS) {
    test(name, { timeout: 120_000 }, () => {
      const result = searchGate({ ...config, statesMax: 400_000 }, over);

      expect(result.violation).toMatch(new RegExp(`^${breaks}`));
    });
  }
});
