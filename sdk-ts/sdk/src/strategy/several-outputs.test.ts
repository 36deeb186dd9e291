import * as q from "@qmtl/sdk";
import { describe, expect, test } from "vitest";
import { barsOfCloses } from "../testing/index.ts";
import { runOnBars } from "../testing/run-on-bars.ts";
import { identifiedNode, nodeColumns } from "./testing/node-columns.ts";

const NO = Number.NaN;

const bars = () => new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" });

/** Slope and middle of the last two closes; no slope while the price falls. */
function line(
  options: Partial<q.ProcessingNodeOptions<"close", q.NodeParams, "slope" | "mid">> = {},
) {
  return new q.ProcessingNode<"close", q.NodeParams, "slope" | "mid">({
    inputs: { close: bars() },
    period: 2,
    outputs: ["slope", "mid"],
    compute: ({ close }, _, out) => {
      const rise = close.latest() - close.latest(1);
      if (rise >= 0) out.slope = rise;
      out.mid = close.latest() - rise / 2;
    },
    ...options,
  });
}

const contentOf = (node: q.StrategyNode) => identifiedNode(node, import.meta.url).nodes.at(-1)!;

test("outputs are part of a node's id where they are given, and leave it as it was where they are not", () => {
  const two = contentOf(line());
  const one = contentOf(
    new q.ProcessingNode({ inputs: { close: bars() }, period: 2, compute: () => 1 }),
  );

  expect(two.hashable).toMatchObject({
    node_type: "ProcessingNode/2",
    params: {},
    schema_compat_id: "f64:slope,mid",
  });
  expect(one.hashable).toMatchObject({ params: {}, schema_compat_id: "f64:value" });
  expect(contentOf(line({ outputs: ["mid", "slope"] })).id).not.toBe(two.id);
});

describe("a function with outputs", () => {
  test("writes one value for each, and what it leaves has none", () => {
    const close = [10, 11, 12, 11, 10, 11];

    expect(nodeColumns(line(), { close })).toEqual({
      slope: [NO, 1, 1, NO, NO, 1],
      mid: [NO, 10.5, 11.5, 11.5, 10.5, 10.5],
    });
  });

  test("is read by the name of an output, and is not called where an input has no value", () => {
    const { slope, mid } = q.columns(line());
    const sum = q.derive({ slope, mid }, (x) => x.slope + x.mid);
    const shown = q.derive(
      { slope, mid },
      (x) => (Number.isNaN(x.slope) ? -1 : x.slope),
      {},
      {
        onMissing: { slope: "nan" },
      },
    );
    const close = [10, 11, 12, NO, 10, 11, 10];

    expect(nodeColumns(sum, { close }).value).toEqual([...[NO, 11.5, 12.5, NO, NO, 11.5, NO]]);
    expect(nodeColumns(shown, { close }).value).toEqual([...[NO, 1, 1, NO, NO, 1, -1]]);
  });

  class Wrong extends q.Strategy {
    static readonly module = import.meta.url;

    override setup(): void {
      const node = line({
        name: "line",
        compute: (_, _params, out) => {
          out.slope = "1" as never;
        },
      });
      this.addNodes([new q.WeightTargetNode({ signal: q.column(node, "mid"), instrument: "X" })]);
    }
  }

  test("that writes no number ends the run with node, row and output", async () => {
    await expect(runOnBars(Wrong, barsOfCloses([10, 11, 12]))).rejects.toThrow(
      /node "line" at row 1 .* failed: output "slope" was given string; it takes a number, NaN for no value/,
    );
  });
});

test.each([
  [[], "must not be empty"],
  [["a", "a"], "has a duplicate"],
  [["a b"], "is not an identifier"],
  [["value"], "without them there is one, value, to be returned"],
])("outputs %j are refused", (outputs, problem) => {
  expect(() => line({ outputs: outputs as never })).toThrow(q.DeclarationError);
  expect(() => line({ outputs: outputs as never })).toThrow(problem);
});

test("a function without outputs takes no third argument", () => {
  const declare = () =>
    new q.ProcessingNode({
      inputs: { close: bars() },
      compute: ((_a: 1, _b: 2, _c: 3) => 1) as never,
    });

  expect(declare).toThrow("ProcessingNode.compute: takes (windows, params) and nothing else");
});
