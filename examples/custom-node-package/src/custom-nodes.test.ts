import { Strategy, type StrategyNode, StreamInput } from "@qmtl/sdk";
import { identifyStrategy } from "@qmtl/sdk/platform";
import { describe, expect, test } from "vitest";
import { efficiencyOf, efficiencyRatio, zScore, zScoreOf } from "./index.ts";

/** A window over an array, as a compute function sees one. */
function windowOf(...values: readonly number[]) {
  return {
    length: values.length,
    at: (index: number) => values[index] ?? Number.NaN,
    latest: (back = 0) => values[values.length - 1 - back] ?? Number.NaN,
    toArray: () => Float64Array.from(values),
  };
}

describe("efficiency ratio", () => {
  test("is 1 on a straight way, the net share of a crooked one, and 0 where nothing moved", () => {
    expect(efficiencyOf(windowOf(1, 2, 4, 8))).toBe(1);
    expect(efficiencyOf(windowOf(4, 3, 2))).toBe(1);
    expect(efficiencyOf(windowOf(1, 3, 2))).toBeCloseTo(1 / 3, 12);
    expect(efficiencyOf(windowOf(5, 5, 5))).toBe(0);
  });

  test("has no value where one is missing", () => {
    expect(efficiencyOf(windowOf(1, Number.NaN, 3))).toBeNaN();
  });
});

describe("z-score", () => {
  test("is the distance from the mean in deviations, and 0 where nothing moved", () => {
    expect(zScoreOf(windowOf(1, 2, 3))).toBeCloseTo(Math.sqrt(1.5), 12);
    expect(zScoreOf(windowOf(3, 1))).toBeCloseTo(-1, 12);
    expect(zScoreOf(windowOf(5, 5, 5))).toBe(0);
    expect(zScoreOf(windowOf(1, Number.NaN, 3))).toBeNaN();
  });
});

/** Id of the node a factory makes over a price. */
function idOf(make: (price: StrategyNode) => StrategyNode): string {
  class One extends Strategy {
    static readonly module = import.meta.url;

    override setup(): void {
      const price = new StreamInput({ source: "s", columns: ["close"], interval: "1d", period: 1 });
      this.addNodes([make(price)]);
    }
  }
  return identifyStrategy(new One(), { worldId: "w" }).graph.leaves[0]!;
}

describe("the id of a node", () => {
  test("is its meaning's: equal for equal parameters, whoever declares it, and another for others", () => {
    const sixty = idOf((price) => efficiencyRatio(price, 60));

    expect(idOf((price) => efficiencyRatio(price, 60))).toBe(sixty);
    expect(idOf((price) => efficiencyRatio(price, 61))).not.toBe(sixty);
    expect(idOf((price) => zScore(price, 61))).not.toBe(sixty);
  });

  test("stays the same from release to release: these two are what is deployed", () => {
    expect(idOf((price) => efficiencyRatio(price, 60))).toMatchInlineSnapshot(
      `"blake3:0c8f2fc738c89445996618b277781d774acf0d8baebe8bae22364129cd6bc1a6"`,
    );
    expect(idOf((price) => zScore(price, 20))).toMatchInlineSnapshot(
      `"blake3:8a96f4317144ac9dbd7332cdc8a51585b655fa8d81322b49b4cbb698c6537653"`,
    );
  });
});
