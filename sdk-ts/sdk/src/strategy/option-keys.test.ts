import { describe, expect, test } from "vitest";
import { IntentFirstAdapter, makeIntentFirstNodeset } from "../nodesets/index.ts";
import { Runner } from "../runner/runner.ts";
import { CsvSource } from "../sources/index.ts";
import {
  barsOfCloses,
  barsProject,
  randomWalkBars,
  runOnBars,
  trendBars,
} from "../testing/index.ts";
import * as q from "./index.ts";

const bars = (): q.StreamInput =>
  new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" });

class Empty extends q.Strategy {
  constructor(options: object = {}) {
    super(options);
  }

  override setup(): void {
    this.addNodes([bars()]);
  }
}

/** Options of a call as a file that nobody type-checks may write them. */
type Loose = never;

const thresholds = { longEnter: 1 };
const target = { signal: bars(), instrument: "X", thresholds };

describe("an option that does not exist is refused with the nearest one that does", () => {
  test.each<[string, string, () => unknown]>([
    [
      "StreamInput.colums",
      "columns",
      () => new q.StreamInput({ source: "px", colums: ["close"], interval: 60 } as Loose),
    ],
    [
      "ProcessingNode.onMising",
      "onMissing",
      () =>
        new q.ProcessingNode({ inputs: { a: bars() }, onMising: "nan", compute: () => 1 } as Loose),
    ],
    [
      "derive.onMising",
      "onMissing",
      () => q.derive({ a: bars() }, (x) => x.a, {}, { onMising: "nan" } as Loose),
    ],
    [
      "TagQueryNode.matchmode",
      "matchMode",
      () => new q.TagQueryNode({ queryTags: ["a"], interval: 60, matchmode: "all" } as Loose),
    ],
    ["sma.nam", "name", () => q.sma(bars(), 2, { nam: "x" } as Loose)],
    [
      "column.onmissing",
      "onMissing",
      () => q.column(bars(), "close", { onmissing: "fail" } as Loose),
    ],
    [
      "PositionTargetNode.longweight",
      "longWeight",
      () => new q.PositionTargetNode({ ...target, longweight: 0.1 } as Loose),
    ],
    [
      "PositionTargetNode.thresholds.longEntry",
      "longEnter",
      () => new q.PositionTargetNode({ ...target, thresholds: { longEntry: 1 } } as Loose),
    ],
    [
      "WeightTargetNode.weigthMax",
      "weightMax",
      () => new q.WeightTargetNode({ signal: bars(), instrument: "X", weigthMax: 2 } as Loose),
    ],
    ["Strategy.defaultperiod", "defaultPeriod", () => new Empty({ defaultperiod: 3 })],
    [
      "makeIntentFirstNodeset.initalCash",
      "initialCash",
      () => makeIntentFirstNodeset({ signal: bars(), instrument: "X", initalCash: 5 } as Loose),
    ],
    [
      "makeIntentFirstNodeset.executionModel.nocosts",
      "noCosts",
      () =>
        makeIntentFirstNodeset({
          signal: bars(),
          instrument: "X",
          executionModel: { nocosts: true },
        } as Loose),
    ],
    [
      "makeIntentFirstNodeset.executionModel.costs.feeBp",
      "feeBps",
      () =>
        makeIntentFirstNodeset({
          signal: bars(),
          instrument: "X",
          executionModel: { costs: { feeBp: 1 } },
        } as Loose),
    ],
    [
      "IntentFirstAdapter.instument",
      "instrument",
      () => new IntentFirstAdapter({ instument: "X" } as Loose),
    ],
    [
      "CsvSource.untl",
      "until",
      () => new CsvSource({ path: "a", interval: 60, untl: "2020" } as Loose),
    ],
    ["barsOfCloses.form", "from", () => barsOfCloses([1, 2], { form: "2020-01-01" } as Loose)],
    ["randomWalkBars.sed", "seed", () => randomWalkBars({ count: 2, sed: 1 } as Loose)],
    ["trendBars.growt", "growth", () => trendBars({ count: 2, growt: 1 } as Loose)],
  ])("%s", (field, near, declare) => {
    expect(declare).toThrow(q.DeclarationError);
    expect(declare).toThrow(`${field}: is no option; did you mean "${near}"?`);
  });

  test.each<[string, string, () => Promise<unknown>]>([
    ["Runner.offline.noCost", "noCosts", () => Runner.offline(Empty, { noCost: true } as Loose)],
    [
      "Runner.offline.costs.fee_bps",
      "feeBps",
      () => Runner.offline(Empty, { costs: { fee_bps: 1 } } as Loose),
    ],
    ["Runner.run.worldID", "worldId", () => Runner.run(Empty, { worldID: "w" } as Loose)],
    [
      "runOnBars.sameBarclose",
      "sameBarClose",
      () => runOnBars(Empty, randomWalkBars({ count: 3 }), { sameBarclose: true } as Loose),
    ],
    ["barsProject.continous", "continuous", () => barsProject({}, { continous: [] } as Loose)],
  ])("%s", async (field, near, run) => {
    await expect(run()).rejects.toThrow(`${field}: is no option; did you mean "${near}"?`);
  });

  test("and with all that exist where none is near", () => {
    const declare = () => q.sma(bars(), 2, { interval: "1d" } as Loose);

    expect(declare).toThrow("sma.interval: is no option; it takes name, onMissing");
  });

  test("and one that was taken once, with what to do about it", () => {
    const declare = () =>
      new q.StreamInput({ source: "px", columns: ["close"], interval: 60, period: 1 } as Loose);

    expect(declare).toThrow(
      "StreamInput.period: is no option; delete it: the rows of a window are given to the node that reads the stream",
    );
  });

  test("and no options at all are refused as such", () => {
    expect(() => new q.StreamInput(undefined as Loose)).toThrow(
      "StreamInput: takes an object of options, not undefined",
    );
  });
});
