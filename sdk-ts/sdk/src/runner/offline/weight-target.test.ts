import {
  column,
  offlineSummary,
  PositionTargetNode,
  ProcessingNode,
  Runner,
  returns,
  Strategy,
  StreamInput,
  volatility,
  WeightTargetNode,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import {
  barsOfCloses,
  barsProject,
  constantBars,
  FakeGateway,
  randomWalkBars,
  runOnBars,
  withColumn,
} from "@qmtl/sdk/testing";
import { expect, test } from "vitest";

const day = { interval: "1d" } as const;

class Weighted extends Strategy {
  override setup(): void {
    const columns = ["open", "high", "low", "close", "weight"];
    const bars = new StreamInput({ source: "x", columns, ...day });
    const signal = column(bars, "weight");
    this.addNodes([new WeightTargetNode({ signal, instrument: "X", step: 0.1 })]);
  }
}

/** Aims at a volatility of 10 % a year, with at most twice the capital. */
class VolatilityTarget extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source: "x", columns, ...day });
    const deviation = volatility(returns(column(bars, "close")), 20);
    const weight = new ProcessingNode({
      inputs: { deviation },
      period: 1,
      params: { target: 0.1, barsAYear: 365 },
      compute: (windows, { target, barsAYear }) =>
        target / (windows.deviation.latest() * Math.sqrt(barsAYear)),
    });
    this.addNodes([new WeightTargetNode({ signal: weight, instrument: "X", weightMax: 2 })]);
  }
}

test.each([
  { weightMin: -2, weightMax: 0.5, most: 2 },
  { weightMin: 0, weightMax: 0.3, most: 0.3 },
])("the most it can be is declared: $most of $weightMin..$weightMax", ({ most, ...weights }) => {
  const bars = new StreamInput({ source: "x", columns: ["close"], ...day });
  const signal = column(bars, "close");
  const node = new WeightTargetNode({ signal, instrument: "X", ...weights });
  const thresholds = { longEnter: 1 };
  const position = new PositionTargetNode({
    ...{ signal, instrument: "X", thresholds },
    ...{ longWeight: weights.weightMax, shortWeight: weights.weightMin },
  });

  expect(node.largestWeight).toBe(most);
  expect(position.largestWeight).toBe(most);
});

test("the signal is the target: what is held follows it in steps", async () => {
  const weights = [Number.NaN, 0.25, 0.3, 0.5, -0.1, 0];
  const bars = withColumn(constantBars({ count: 7 }), "weight", (row) => weights[row] ?? 0);

  const result = await runOnBars(Weighted, bars, { noCosts: true });

  // 1,000,000 at a price of 100; 0.3 is less than a step from 0.25.
  expect(result.fills.map(({ side, quantity }) => `${side} ${quantity}`)).toEqual([
    "buy 2500",
    "buy 2500",
    "sell 5000",
    "sell 1000",
    "buy 1000",
  ]);
});

test("a signal beyond the bounds of its target is held there, and a note says on how many bars", async () => {
  class Bounded extends Strategy {
    readonly #bounds: { readonly weightMin?: number; readonly weightMax?: number };
    constructor(bounds: { readonly weightMin?: number; readonly weightMax?: number }) {
      super();
      this.#bounds = bounds;
    }
    override setup(): void {
      const columns = ["open", "high", "low", "close", "weight"];
      const signal = column(new StreamInput({ source: "x", columns, ...day }), "weight");
      this.addNodes([new WeightTargetNode({ signal, instrument: "X", ...this.#bounds })]);
    }
  }
  const held = async (bounds: { weightMin?: number; weightMax?: number }, values: number[]) => {
    const bars = withColumn(
      constantBars({ count: values.length }),
      "weight",
      (row) => values[row]!,
    );
    const { notes } = await runOnBars(new Bounded(bounds), bars, { noCosts: true });
    return notes.filter((note) => note.startsWith("Signal "));
  };

  expect(await held({ weightMax: 5 }, [-4, -4, -4])).toEqual([
    'Signal "column(x,weight)" of X: -4 was held at -1 on 3 bars (weightMin).',
  ]);
  expect(await held({}, [0.5, 1.5, -2, 3])).toEqual([
    'Signal "column(x,weight)" of X: -2 was held at -1 on 1 bar (weightMin).',
    'Signal "column(x,weight)" of X: values up to 3 were held at 1 on 2 bars (weightMax).',
  ]);
  expect(await held({ weightMin: -4, weightMax: 3 }, [-4, 3, 3 + 1e-12])).toEqual([]);
});

test("a volatility target comes near the volatility it aims at", async () => {
  const bars = randomWalkBars({ count: 2_000, seed: 11, volatility: 0.02 });

  const result = await runOnBars(VolatilityTarget, bars, { periodsPerYear: 365 });

  expect(result.buyAndHold.metrics.get("volatility")).toBeGreaterThan(0.3);
  expect(Math.abs(result.metrics.get("volatility")! - 0.1)).toBeLessThan(0.01);
  expect(result.notes.join()).toContain("has its first value on row 21 of 2000");
});

test("a strategy that lost all it had is told so", async () => {
  class Short extends Strategy {
    override setup(): void {
      const columns = ["open", "high", "low", "close", "weight"];
      const bars = new StreamInput({ source: "x", columns, ...day });
      const signal = column(bars, "weight");
      this.addNodes([new WeightTargetNode({ signal, instrument: "X", weightMin: -1 })]);
    }
  }
  const bars = withColumn(barsOfCloses([100, 100, 110, 190, 240, 80]), "weight", () => -1);

  const result = await runOnBars(Short, bars);

  expect(result.notes.join()).toMatch(/The equity was -\d+\.\d\d USD at the bar ending 2020-01-06/);
  expect(offlineSummary(result).join("\n")).toMatch(
    /equity +1000000\.00 → 0\.00 USD, ruined at -\d+\.\d\d; paid/,
  );
});

test("online its targets reach the gate as any target's do", async () => {
  const weights = withColumn(constantBars({ count: 6 }), "weight", (row) => row / 10);
  await using project = await barsProject({ x: weights }, { instruments: { X: {} } });
  const gateway = new FakeGateway();

  await using session = await Runner.session(Weighted, {
    worldId: gateway.worldId,
    config: project.config,
    connection: gateway.connection(),
  });
  await session.done;

  expect(session.status()).toMatchObject({ armed: false, sentOrders: 0 });
  expect(session.status().wantedOrders).toBeGreaterThan(0);
});

test("a strategy has one target an instrument, of whatever kind", async () => {
  class Two extends Weighted {
    override setup(): void {
      super.setup();
      const bars = new StreamInput({ source: "x", columns: ["close"], ...day });
      const signal = column(bars, "close");
      this.addNodes([
        new PositionTargetNode({ signal, instrument: "X", thresholds: { longEnter: 1 } }),
      ]);
    }
  }
  const bars = withColumn(barsOfCloses([1, 2]), "weight", () => 0);

  await expect(runOnBars(Two, bars)).rejects.toMatchObject({ reason: "TARGET_AMBIGUOUS" });
});
