import * as q from "@qmtl/sdk";
import { describe, expect, test } from "vitest";
import { identifiedNode, nodeColumns } from "./testing/node-columns.ts";

const NO = Number.NaN;
const close = () =>
  q.column(new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" }), "close");
const valuesOf = (node: q.StrategyNode, values: readonly number[]) =>
  nodeColumns(node, { close: values }).value;
const hashable = (node: q.StrategyNode) => identifiedNode(node).nodes.at(-1)!.hashable;

describe("lag, changed and hysteresis", () => {
  const bounds = { longEnter: 2, longExit: 1, shortEnter: -2, shortExit: -1 };

  test("give the values of their definitions, in chunks and row by row", () => {
    expect(valuesOf(q.lag(close(), 2), [1, 2, 3, NO, 5, 6])).toEqual([NO, NO, 1, 2, 3, NO]);
    expect(valuesOf(q.changed(close()), [NO, 1, 1, NO, 1, 2])).toEqual([NO, 1, 0, NO, 0, 1]);
    const side = q.hysteresis(close(), bounds);
    expect(valuesOf(side, [NO, 1, 2, 1, NO, 0.5, -2, -1, 5])).toEqual([
      0, 0, 1, 1, 1, 0, -1, -1, 0,
    ]);
  });

  test("have ids of their names, params and windows", () => {
    expect(hashable(q.lag(close(), 3))).toMatchObject({
      node_type: "lag",
      period: 4,
      params: { lag: 3 },
    });
    expect(hashable(q.changed(close()))).toMatchObject({ node_type: "changed", params: {} });
    expect(hashable(q.hysteresis(close(), { longEnter: 1 }))).toMatchObject({
      node_type: "hysteresis",
      params: { long_enter: 1, long_exit: null, short_enter: null, short_exit: null },
    });
  });

  test.each<[string, string, () => unknown]>([
    ["lag.rows", "1..10000", () => q.lag(close(), 0)],
    ["hysteresis.thresholds", "needs longEnter or shortEnter", () => q.hysteresis(close(), {})],
    ["hysteresis.thresholds", "is needed", () => q.hysteresis(close(), undefined as never)],
    [
      "hysteresis.thresholds.longEntry",
      'did you mean "longEnter"',
      () => q.hysteresis(close(), { longEntry: 1 } as never),
    ],
    [
      "hysteresis.thresholds.longExit",
      "must not be above longEnter",
      () => q.hysteresis(close(), { longEnter: 1, longExit: 2 }),
    ],
  ])("%s: %s", (field, problem, declare) => {
    expect(declare).toThrow(q.DeclarationError);
    expect(declare).toThrow(field);
    expect(declare).toThrow(problem);
  });
});
