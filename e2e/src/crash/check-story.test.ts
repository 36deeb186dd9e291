import { describe, expect, test } from "vitest";
import { findViolations } from "./check-story.ts";
import type { AcceptedOrder, AuditLine, StoryRecord } from "./story-record.ts";

const line = (entry: number, timeMs: number, fence: number, body: object = {}): AuditLine => ({
  entry,
  type: "apply_phase",
  fence,
  revision: entry,
  timeMs,
  body: { ...body },
});

const order = (orderId: string, acceptedMs: number, more: Partial<AcceptedOrder> = {}) => ({
  orderId,
  strategyId: "s-a",
  lots: 5,
  bucketMs: acceptedMs,
  reduceOnly: false,
  fence: 2,
  decisionId: "d-2",
  origin: "strategy",
  acceptedMs,
  outcome: "filled",
  ...more,
});

/** A story without violations: paper from 2000 under fence 2, frozen from 9000, one order that filled. */
const sound: StoryRecord = {
  leaseMs: 1000,
  accepted: [order("o-1", 3000)],
  executions: [{ executionId: "x-1", orderId: "o-1", lots: 5 }],
  booked: [{ orderId: "o-1", lots: 5, filledLots: 5, state: "filled", fence: 2 }],
  heldLots: 5,
  journal: [{ entry: 1, body: "made" }],
  journalTold: [{ entry: 1, body: "made" }],
  audit: [
    { ...line(1, 0, 1), type: "create" },
    line(2, 1000, 2, { run_id: "r", phase: "FREEZING", target: "paper", active: ["s-a"] }),
    line(3, 1500, 2, { run_id: "r", phase: "SWITCHED" }),
    line(4, 2000, 2, { run_id: "r", phase: "UNFROZEN" }),
    line(5, 2500, 2, { run_id: "r", phase: "COMPLETED" }),
    { ...line(6, 9000, 3, { hold: "manual" }), type: "frozen" },
  ],
  runs: [{ runId: "r", state: "COMPLETED", planDecisionId: "d-2" }],
  decisions: new Map([
    ["d-1", 0],
    ["d-2", 1000],
  ]),
  sightings: [
    { subscriber: "observer", storeEpoch: 1, revision: 3, fence: 2 },
    { subscriber: "observer", storeEpoch: 1, revision: 4, fence: 2 },
  ],
  samples: [{ revision: 5, active: ["s-a"], onPaper: ["s-a"], effectiveOnPaper: ["s-a"] }],
  submissionsTold: ["s-a"],
  submissions: ["s-a"],
};

/** Planted violations: name, what it changes in the sound story, what the oracle must report. */
const planted: readonly [string, Partial<StoryRecord>, string][] = [
  [
    "an order under an older fence",
    { accepted: [order("o-1", 3000, { fence: 1 })] },
    "permission:",
  ],
  ["an order before the gate opened", { accepted: [order("o-1", 1200)] }, "permission:"],
  ["an order a lease after the freeze", { accepted: [order("o-1", 10_000)] }, "permission:"],
  [
    "an order of a strategy that may not trade",
    { accepted: [order("o-1", 3000, { strategyId: "s-b" })] },
    "may not trade",
  ],
  [
    "an order by an older decision",
    { accepted: [order("o-1", 3000, { decisionId: "d-1" })] },
    "not of its fence",
  ],
  [
    "an exempt order that may open",
    { accepted: [order("o-1", 3000, { origin: "demote" })] },
    "may open",
  ],
  [
    "an order accepted twice",
    { accepted: [order("o-1", 3000), order("o-1", 4000)] },
    "accepted twice",
  ],
  [
    "an intent that left twice under two ids",
    {
      accepted: [order("o-1", 3000), order("o-2", 3500, { bucketMs: 3000 })],
      booked: [
        ...sound.booked,
        { orderId: "o-2", lots: 5, filledLots: 0, state: "filled", fence: 2 },
      ],
    },
    "left twice",
  ],
  [
    "an order filled twice",
    {
      executions: [...sound.executions, { executionId: "x-2", orderId: "o-1", lots: 5 }],
      heldLots: 10,
    },
    "filled twice",
  ],
  ["an accepted order the gateway forgot", { booked: [] }, "is not in the journal"],
  [
    "a fill the gateway forgot",
    { booked: [{ ...sound.booked[0]!, filledLots: 0 }] },
    "is not booked",
  ],
  ["a fill the gateway invented", { executions: [], heldLots: 0 }, "never happened"],
  ["a holding without fills", { heldLots: 6 }, "the broker holds 6"],
  ["a journal entry taken back", { journal: [] }, "lost: journal entry 1"],
  ["a submission that is gone", { submissions: [] }, "lost: submission of s-a"],
  ["a run left in flight", { runs: [{ ...sound.runs[0]!, state: "SWITCHED" }] }, "still in flight"],
  [
    "activations of one run with stages of another",
    { samples: [{ ...sound.samples[0]!, onPaper: [] }] },
    "half-applied: at revision 5",
  ],
  ["a fence that falls", { sightings: [...sound.sightings].reverse() }, "fence: observer"],
  [
    "a gap in the audit",
    { audit: sound.audit.filter((each) => each.entry !== 5) },
    "audit: entry 6",
  ],
];

/** Orders that follow the first one's 5 lots on the next bar, all filled and booked. */
function turned(lots: readonly number[]): StoryRecord {
  const more = lots.map((each, k) => order(`o-${k + 2}`, 4000 + k, { lots: each, bucketMs: 4000 }));
  const all = [...sound.accepted, ...more];
  return {
    ...sound,
    accepted: all,
    executions: all.map((each, k) => ({
      executionId: `x-${k}`,
      orderId: each.orderId,
      lots: each.lots,
    })),
    booked: all.map((each) => ({
      orderId: each.orderId,
      lots: each.lots,
      filledLots: each.lots,
      state: "filled",
      fence: 2,
    })),
    heldLots: all.reduce((sum, each) => sum + each.lots, 0),
  };
}

describe("the oracle of the crash stories", () => {
  test("finds nothing in a sound story", () => {
    expect(findViolations(sound)).toEqual([]);
  });

  test.each(planted)("finds %s", (_, change, text) => {
    const found = findViolations({ ...sound, ...change });

    expect(found.join("\n")).toContain(text);
  });

  test("lets a target turn a working order round: one order takes it back, another opens", () => {
    expect(findViolations(turned([-5, -4]))).toEqual([]);
  });

  test("finds the opening half of a turn that left twice", () => {
    const found = findViolations(turned([-5, -4, -4]));

    expect(found).toEqual(["duplicate: sell opening strategy of s-a at 4000 left twice"]);
  });

  test("lets a target open again in the bucket in which its strategy was demoted, but only once", () => {
    const close = order("o-2", 3200, {
      lots: -5,
      bucketMs: 3000,
      reduceOnly: true,
      origin: "demote",
    });
    const opened = (id: string) => order(id, 3400, { bucketMs: 3000 });
    const twice = (accepted: AcceptedOrder[]) =>
      findViolations({ ...sound, accepted }).filter((found) => found.includes("left twice"));

    expect(twice([order("o-1", 3000), close, opened("o-3")])).toEqual([]);
    expect(twice([order("o-1", 3000), close, opened("o-3"), opened("o-4")])).toHaveLength(1);
  });

  test("lets an order arrive within a lease of the freeze", () => {
    expect(findViolations({ ...sound, accepted: [order("o-1", 9900)] })).toEqual([]);
  });
});
