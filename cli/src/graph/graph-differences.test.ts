import { create } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import fc from "fast-check";
import { expect, test } from "vitest";
import { graphDifferences } from "./graph-differences.ts";

interface Parts {
  readonly name?: string;
  readonly period?: number;
  readonly params?: object;
  readonly code?: string;
  readonly inputs?: readonly string[];
}

const node = (nodeId: string, { name = "", period = 1, params = {}, code, inputs = [] }: Parts) =>
  create(NodeSchema, {
    nodeId,
    name,
    period,
    paramsJson: JSON.stringify(params),
    codeHash: code ?? "",
    inputs: inputs.map((id) => ({ port: "x", nodeId: id })),
  });

test("equal ids are equal nodes, and every other node is told exactly once", () => {
  const nodes: fc.Arbitrary<Node[]> = fc
    .uniqueArray(fc.integer({ min: 0, max: 12 }), { maxLength: 10 })
    .chain((ids) =>
      fc
        .array(fc.constantFrom("a", "b", "c", ""), { minLength: ids.length, maxLength: ids.length })
        .map((names) => ids.map((id, at) => node(`id-${id}`, { name: names[at] ?? "" }))),
    );
  fc.assert(
    fc.property(nodes, nodes, (frozen, now) => {
      const told = graphDifferences(frozen, now);
      const idsOf = (all: readonly Node[]): Set<string> => new Set(all.map((one) => one.nodeId));
      const [before, after] = [idsOf(frozen), idsOf(now)];
      const gone = [...before].filter((id) => !after.has(id)).sort();
      const come = [...after].filter((id) => !before.has(id)).sort();

      expect(told.flatMap((one) => one.frozen || []).sort()).toEqual(gone);
      expect(told.flatMap((one) => one.now || []).sort()).toEqual(come);
      expect(graphDifferences(frozen, frozen)).toEqual([]);
    }),
    { seed: 3, numRuns: 300 },
  );
});

test("a changed node names each part of its id that is another", () => {
  const frozen = [
    node("id-1", { name: "bars" }),
    node("id-2", { name: "mean", period: 2, params: { window: 2, gone: 1 }, inputs: ["id-1"] }),
    node("id-3", { name: "signal", code: "blake3:aa", inputs: ["id-2"] }),
  ];
  const now = [
    node("id-4", { name: "ticks" }),
    node("id-5", { name: "mean", period: 3, params: { window: 3, come: [1] }, inputs: ["id-4"] }),
    node("id-6", { name: "signal", code: "blake3:bb", inputs: ["id-5"] }),
  ];

  expect(graphDifferences(frozen, now).map(({ node: of, because }) => [of, because])).toEqual([
    ["bars", []],
    [
      "mean",
      [
        "period: 2 -> 3",
        "param come: (none) -> [1]",
        "param gone: 1 -> (none)",
        "param window: 2 -> 3",
        "inputs: x = bars -> x = ticks",
      ],
    ],
    ["signal", ["its code", "reads mean, which changed"]],
    ["ticks", []],
  ]);
});
