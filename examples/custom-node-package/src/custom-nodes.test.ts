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
      const price = new StreamInput({ source: "s", columns: ["close"], interval: "1d" });
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
      `"blake3:99b747e6be118073dd39ae8906c9e358a71b813d66af447518cc1b7c76ef7368"`,
    );
    expect(idOf((price) => zScore(price, 20))).toMatchInlineSnapshot(
      `"blake3:ec65a25638e241694a9b5a766fb7def1aba5c37b876400b0cb1efc58ec91d303"`,
    );
  });
});
