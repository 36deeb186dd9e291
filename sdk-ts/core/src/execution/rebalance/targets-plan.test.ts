import fc from "fast-check";
import { expect, test } from "vitest";
import { planMultiScaling } from "./multi-world-plan.ts";
import { shareProRata } from "./pro-rata.ts";
import { planWorldScaling } from "./scaling-plan.ts";
import { planTargets, type TargetBook, type TargetsPlanInput } from "./targets-plan.ts";

const NOW = 1_000_000;

function book(strategyId: string, positionLots: number, targetValue: number): TargetBook {
  const at = { worldId: "w", venue: "v", symbol: "SPX" };
  return { ...at, strategyId, positionLots, workingLots: 0, targetValue };
}

function input(more: Partial<TargetsPlanInput> = {}): TargetsPlanInput {
  return {
    accountRevision: 4,
    expectedAccountRevision: 4,
    equity: 1_000_000,
    worldShares: new Map([["w", 0.9]]),
    strategyShares: new Map([
      [
        "w",
        new Map([
          ["A", 0.5],
          ["B", 0.5],
        ]),
      ],
    ]),
    // 0.32 and −0.24 of 1,000,000 at 2127.83 in lots of 0.1.
    books: [book("A", 1503, 1), book("B", -1127, -1)],
    instruments: [{ venue: "v", symbol: "SPX", lotSize: 0.1, multiplier: 1, fxRate: 1 }],
    marks: [{ venue: "v", symbol: "SPX", price: 2127.83, timeMs: NOW }],
    nowMs: NOW,
    markAgeMsMax: 1_000,
    ...more,
  };
}

test("the story's rebalance crosses 61.1 inside and sells 37.6 outside", () => {
  const plan = planTargets(input());

  if (!plan.ok) {
    throw new Error(plan.reason);
  }
  expect(plan.books.map((one) => one.deltaLots)).toEqual([611, -987]);
  expect(plan.crosses).toMatchObject([
    { strategyId: "A", lots: 611, price: 2127.83 },
    { strategyId: "B", lots: -611 },
  ]);
  expect(plan.externals).toMatchObject([
    { lots: -376, residuals: [{ strategyId: "B", lots: -376 }] },
  ]);
});

test("a change below the least notional leaves its book as it is, and an exit is never left out", () => {
  const instruments = (notionalMin: number) => [
    { venue: "v", symbol: "SPX", lotSize: 0.1, multiplier: 1, fxRate: 1, notionalMin },
  ];
  const deltas = (more: Partial<TargetsPlanInput>) => {
    const plan = planTargets(input(more));
    return plan.ok ? plan.books.map((one) => one.deltaLots) : plan.reason;
  };

  // 61.1 × 2127.83 is 130,010; 98.7 × 2127.83 is 210,017.
  expect(deltas({ instruments: instruments(150_000) })).toEqual([0, -987]);
  expect(deltas({ instruments: instruments(150_000), tradeNotionalMin: 0 })).toEqual([611, -987]);
  expect(deltas({ tradeNotionalMin: 1e9 })).toEqual([0, 0]);
  expect(deltas({ tradeNotionalMin: 1e9, worldShares: new Map() })).toEqual([-1503, 1127]);
});

test.each<[string, Partial<TargetsPlanInput>]>([
  ["ACCOUNT_REVISION_STALE", { expectedAccountRevision: 3 }],
  ["EQUITY_NOT_POSITIVE", { equity: 0 }],
  [
    "ALLOCATION_SUM_ABOVE_ONE",
    {
      worldShares: new Map([
        ["w", 0.9],
        ["x", 0.2],
      ]),
    },
  ],
  ["ALLOCATION_OUT_OF_RANGE", { worldShares: new Map([["w", Number.NaN]]) }],
  ["MARK_MISSING", { marks: [] }],
  ["MARK_STALE", { nowMs: NOW + 1_001 }],
  ["MARK_NOT_POSITIVE", { marks: [{ venue: "v", symbol: "SPX", price: -1, timeMs: NOW }] }],
  [
    "MARK_DISAGREES",
    {
      marks: [
        { venue: "v", symbol: "SPX", price: 1, timeMs: NOW },
        { venue: "v", symbol: "SPX", price: 2, timeMs: NOW },
      ],
    },
  ],
  ["TERM_MISSING", { instruments: [] }],
])("%s refuses the plan", (reason, more) => {
  expect(planTargets(input(more))).toMatchObject({ ok: false, reason });
});

test("a share of 0 or a flat target exits whole, and reductions go first", () => {
  const other = { venue: "v", symbol: "AAA", lotSize: 1, multiplier: 1, fxRate: 1 };
  const plan = planTargets(
    input({
      strategyShares: new Map([["w", new Map([["A", 0.5]])]]),
      books: [{ ...book("A", 0, 1), symbol: "AAA" }, { ...book("B", 77, 1) }],
      instruments: [...input().instruments, other],
      marks: [...input().marks, { venue: "v", symbol: "AAA", price: 3, timeMs: NOW }],
    }),
  );

  if (!plan.ok) {
    throw new Error(plan.reason);
  }
  expect(plan.externals.map(({ symbol, lots }) => [symbol, lots])).toEqual([
    ["SPX", -77],
    ["AAA", 150_000],
  ]);
});

test("a full exit in a scaling plan leaves no dust, whatever the lot", () => {
  const plan = planWorldScaling({
    worldBefore: 0.3,
    worldAfter: 0,
    strategyBefore: new Map(),
    strategyAfter: new Map(),
    positions: [
      { worldId: "w", strategyId: "s", venue: "v", symbol: "X", quantity: 1.2345, mark: 10 },
    ],
    lotSizes: new Map([["X", "0.1"]]),
    tradeNotionalMin: 1_000,
  });

  expect(plan.deltas).toEqual([{ venue: "v", symbol: "X", quantity: -1.2345 }]);
});

test("ratios above 1 in sum refuse a multi-world plan", () => {
  const plan = planMultiScaling({
    totalEquity: 1,
    worldsBefore: new Map(),
    worldsAfter: new Map([
      ["a", 0.6],
      ["b", 0.5],
    ]),
    positions: [],
  });

  expect(plan).toEqual({ ok: false, reason: "ALLOCATION_SUM_ABOVE_ONE" });
});

test("an account that gives up an instrument is left with none of it, however little it held", () => {
  const position = { strategyId: "A", venue: "v", symbol: "X", mark: 10 };
  const input = (worldsAfter: [string, number][]) => ({
    totalEquity: 1_000,
    worldsBefore: new Map([
      ["a", 0.5],
      ["b", 0.5],
    ]),
    worldsAfter: new Map(worldsAfter),
    positions: [
      { ...position, worldId: "a", quantity: 1.25 },
      { ...position, worldId: "b", quantity: 0.5 },
    ],
    tradeNotionalMin: 100,
    lotSizes: new Map([["X", "1"]]),
  });
  const netOf = (worldsAfter: [string, number][]) => {
    const plan = planMultiScaling(input(worldsAfter));
    return plan.ok ? plan.globalDeltas : plan.reason;
  };

  expect(netOf([])).toEqual([{ venue: "v", symbol: "X", quantity: -1.75 }]);
  // One of two worlds leaves: a change like any other, and too small.
  expect(netOf([["b", 0.5]])).toEqual([]);
});

test("for every book cross + external = delta, crosses net to 0, and order does not matter", () => {
  const one = fc.record({
    worldId: fc.constantFrom("w", "x"),
    strategyId: fc.constantFrom("A", "B", "C"),
    positionLots: fc.integer({ min: -5_000, max: 5_000 }),
    workingLots: fc.integer({ min: -500, max: 500 }),
    targetValue: fc.option(fc.double({ min: -2, max: 2, noNaN: true }), { nil: undefined }),
  });
  const books = fc.uniqueArray(one, {
    maxLength: 6,
    selector: ({ worldId, strategyId }) => `${worldId}${strategyId}`,
  });
  const thirds = new Map([
    ["A", 0.3],
    ["B", 0.3],
    ["C", 0.3],
  ]);
  fc.assert(
    fc.property(books, (list) => {
      const shares = {
        worldShares: new Map([
          ["w", 0.5],
          ["x", 0.4],
        ]),
        strategyShares: new Map([
          ["w", thirds],
          ["x", thirds],
        ]),
      };
      const full = list.map((each) => ({ ...each, venue: "v", symbol: "SPX" }));
      const plan = planTargets(input({ ...shares, books: full }));
      const reversed = planTargets(input({ ...shares, books: [...full].reverse() }));
      if (!plan.ok || !reversed.ok) {
        throw new Error("refused");
      }

      expect(reversed.crosses).toEqual(plan.crosses);
      expect(reversed.externals).toEqual(plan.externals);
      expect(plan.crosses.reduce((sum, cross) => sum + cross.lots, 0)).toBe(0);
      const residuals = plan.externals.flatMap((external) => external.residuals);
      expect(new Set(residuals.map((each) => Math.sign(each.lots))).size).toBeLessThanOrEqual(1);
      for (const planned of plan.books) {
        const mine = (each: { worldId: string; strategyId: string; lots: number }) =>
          each.worldId === planned.worldId && each.strategyId === planned.strategyId
            ? each.lots
            : 0;
        const got = [...plan.crosses, ...residuals].reduce((sum, each) => sum + mine(each), 0);
        expect(got === 0 ? 0 : got).toBe(planned.deltaLots === 0 ? 0 : planned.deltaLots);
      }
    }),
    { seed: 3, numRuns: 300 },
  );
});

test("shared in any pieces, every one gets exactly its weight in the end", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 12 }),
      (wants, pieces) => {
        const residuals = [...wants];
        let left = wants.reduce((sum, lots) => sum + lots, 0);
        for (const piece of [...pieces, Number.MAX_SAFE_INTEGER]) {
          const lots = Math.min(piece, left);
          left -= lots;
          const shares = shareProRata(lots, residuals);
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(lots);
          shares.forEach((share, i) => {
            expect(share).toBeLessThanOrEqual(residuals[i]!);
            residuals[i]! -= share;
          });
        }
        expect(new Set(residuals)).toEqual(new Set([0]));
      },
    ),
    { seed: 13, numRuns: 200 },
  );
});

test("remainders go to the largest fraction, ties to the earlier", () => {
  expect(shareProRata(10, [1, 1, 1])).toEqual([4, 3, 3]);
  expect(shareProRata(5, [1, 2, 1])).toEqual([1, 3, 1]);
  expect(shareProRata(0, [])).toEqual([]);
  expect(() => shareProRata(1, [0])).toThrow(RangeError);
});
