import { describe, expect, test } from "vitest";
import { makeIntentFirstNodeset } from "../nodesets/index.ts";
import { identifyStrategy } from "../runner/strategy-loading/identify-strategy.ts";
import {
  column,
  PositionTargetNode,
  type Rebalance,
  Strategy,
  type StrategyNode,
  StreamInput,
  WeightTargetNode,
} from "./index.ts";

const bars = new StreamInput({ source: "x", columns: ["close"], interval: "1d" });
const signal = column(bars, "close");
const thresholds = { longEnter: 1 };

class Declared extends Strategy {
  readonly #nodes: readonly StrategyNode[];

  constructor(nodes: readonly StrategyNode[]) {
    super();
    this.#nodes = nodes;
  }

  override setup(): void {
    this.addNodes(this.#nodes);
  }
}

/** Ids of targets, in their order. */
function idsOf(...nodes: readonly StrategyNode[]): string[] {
  const { graph, targets } = identifyStrategy(new Declared(nodes), { worldId: "w" });
  expect(graph.nodes.length).toBeGreaterThan(targets.length);
  return nodes.map((node) => targets.find((one) => one.node === node)!.nodeId);
}

const weight = (rebalance?: Rebalance) =>
  new WeightTargetNode({ signal, instrument: "X", rebalance });

describe("the id of a target", () => {
  test("without new options is what it was before there were any", () => {
    const position = new PositionTargetNode({ signal, instrument: "Y", thresholds });

    expect(idsOf(weight(), position)).toEqual([
      "blake3:f3758f89502eec5bc76a7b570f8564c7622c6403ebf911fb086f3b90ff23af21",
      "blake3:6ef1710d302824dd5f3a7308edb1f9511437680b6e6e4405332f0d9b686d5b15",
    ]);
  });

  test("changes with when it is sized again, and is the same for equal periods", () => {
    const series = column(bars, "close");
    const of = (rebalance?: Rebalance) => idsOf(weight(rebalance))[0];
    const ids = [
      of(),
      of({ every: "1mo" }),
      of({ every: "1q" }),
      of({ drift: 0.05 }),
      of({ every: "1mo", drift: 0.05 }),
      of({ every: series }),
      of({ every: series, drift: 0.05 }),
    ];

    expect(new Set(ids).size).toBe(ids.length);
    expect(of({ every: "1q" })).toBe(of({ every: "3mo" }));
    expect(of({ every: "24h" })).toBe(of({ every: "1d" }));
  });

  test("is passed on by a node set", () => {
    const rebalance = { every: "1mo", drift: 0.1 };
    const set = makeIntentFirstNodeset({ signal, instrument: "X", thresholds, rebalance });
    const node = new PositionTargetNode({ signal, instrument: "X", thresholds, rebalance });

    expect(idsOf(set.tail)).toEqual(idsOf(node));
    expect(set.tail.params.rebalance).toEqual(rebalance);
    expect(set.describe().steps.find(({ name }) => name === "sizing")!.detail).toContain(
      "fixed when the target changes and at each rebalance and when the held weight is more than 0.1 away from it",
    );
  });
});

describe("a rebalance option is refused by name", () => {
  test.each<readonly [string, unknown, string]>([
    ["nothing in it", {}, "rebalance: needs every or drift"],
    ["text", "1mo", "rebalance: must be an object"],
    ["a calendar", { every: "1mo", calendar: "XNYS" }, "rebalance.calendar: is not supported"],
    ["a misspelt key", { evry: "1mo" }, 'rebalance.evry: is no option; did you mean "every"?'],
    ["a period that nobody knows", { every: "1fortnight" }, 'rebalance.every: "1fortnight" is not'],
    ["a period of nothing", { every: "0d" }, 'rebalance.every: "0d" is not'],
    ["a number for a period", { every: 60 }, "rebalance.every: must be a period"],
    ["no drift at all", { drift: 0 }, "rebalance.drift: must be above 0, not 0"],
    [
      "a drift in percent",
      { drift: "5%" as unknown as number },
      'rebalance.drift: must be a number, 0.05 for five points, not the text "5%"',
    ],
    [
      "a drift as large as all that may be held",
      { drift: 5 },
      "rebalance.drift: must be below 1, the largest weight of the target, not 5: it is a fraction, 0.05 for five points",
    ],
    ["a drift that is no number", { drift: Number.NaN }, "rebalance.drift: must be above 0"],
  ])("%s", (_, rebalance, told) => {
    expect(() => weight(rebalance as Rebalance)).toThrow(`WeightTargetNode.${told}`);
  });

  test("a series of several columns", () => {
    const every = new StreamInput({ source: "x", columns: ["a", "b"], interval: "1d" });

    expect(() => weight({ every })).toThrow("inputs.every: has 2 columns");
  });
});
