import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CheckedNode, checkGraph, cycleOf, nodeIdsCrc32 } from "./index.ts";

const node = (nodeId: string, ...inputs: string[]): CheckedNode => ({
  nodeId,
  inputs: inputs.map((each) => ({ nodeId: each })),
});

describe("what is wrong with a graph", () => {
  test("a sound one has no finding, and its nodes come after their inputs, else in the order given", () => {
    const nodes = [node("d", "b", "c"), node("c", "a"), node("b", "a"), node("a"), node("e")];
    const crc32 = nodeIdsCrc32(nodes.map(({ nodeId }) => nodeId));

    expect(checkGraph(nodes, crc32)).toEqual({ findings: [], order: [3, 1, 2, 0, 4] });
  });

  test("every finding names its field: ids damaged, an id twice, unknown inputs", () => {
    const nodes = [node("a"), node("b", "a", "gone"), node("a", "lost")];

    expect(checkGraph(nodes, 7)).toEqual({
      findings: [
        { reason: "CRC_MISMATCH", field: "node_ids_crc32" },
        { reason: "DUPLICATE_NODE", field: "nodes[2].node_id", node: 2 },
        {
          reason: "UNKNOWN_DEPENDENCY",
          field: "nodes[1].inputs[1].node_id",
          node: 1,
          input: 1,
        },
        {
          reason: "UNKNOWN_DEPENDENCY",
          field: "nodes[2].inputs[0].node_id",
          node: 2,
          input: 0,
        },
      ],
      order: [],
    });
    expect(checkGraph(nodes).findings.map(({ reason }) => reason)).not.toContain("CRC_MISMATCH");
  });

  test("a cycle is found with what reads it, and named in order; a delayed input closes none", () => {
    const nodes = [node("a"), node("x", "a", "z"), node("y", "x"), node("z", "y"), node("r", "z")];
    const { findings, order } = checkGraph(nodes);

    expect(findings.map(({ reason, field }) => [reason, field])).toEqual(
      [1, 2, 3, 4].map((at) => ["GRAPH_HAS_CYCLE", `nodes[${at}].inputs`]),
    );
    expect(order).toEqual([0]);
    expect(cycleOf(nodes, findings).map((at) => nodes[at]!.nodeId)).toEqual(["x", "y", "z", "x"]);

    const delayed = { nodeId: "z", delayed: true };
    const looped = nodes.with(1, { nodeId: "x", inputs: [{ nodeId: "a" }, delayed] });
    expect(checkGraph(looped)).toEqual({ findings: [], order: [0, 1, 2, 3, 4] });
  });
});

test("of any graph: the order has inputs first, and what is left out is on or behind a cycle", () => {
  const edges = fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 14 });
  fc.assert(
    fc.property(edges, (pairs) => {
      const nodes = Array.from({ length: 8 }, (_, at) =>
        node(`n${at}`, ...pairs.filter(([to]) => to === at).map(([, from]) => `n${from}`)),
      );
      const { findings, order } = checkGraph(nodes);

      const place = new Map(order.map((at, index) => [`n${at}`, index]));
      for (const at of order) {
        for (const { nodeId } of nodes[at]!.inputs) {
          expect(place.get(nodeId)).toBeLessThan(place.get(`n${at}`)!);
        }
      }
      const left = nodes.map((_, at) => at).filter((at) => !order.includes(at));
      expect(findings.map((finding) => "node" in finding && finding.node)).toEqual(left);
      // The slow way: a node is left if some walk up its inputs never ends.
      const ends = (at: number, depth: number): boolean =>
        depth < 9 &&
        nodes[at]!.inputs.every(({ nodeId }) => ends(Number(nodeId.slice(1)), depth + 1));
      expect(left).toEqual(nodes.map((_, at) => at).filter((at) => !ends(at, 0)));
      const cycle = cycleOf(nodes, findings);
      expect(cycle.length > 0).toBe(left.length > 0);
      cycle.slice(1).forEach((at, index) => {
        expect(nodes[at]!.inputs.map(({ nodeId }) => nodeId)).toContain(`n${cycle[index]}`);
      });
    }),
    { seed: 5, numRuns: 300 },
  );
});
