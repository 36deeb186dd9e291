import * as q from "@qmtl/sdk";
import { describe, expect, test } from "vitest";
import { barsOfCloses } from "../testing/index.ts";
import { runOnBars } from "../testing/run-on-bars.ts";
import { identifiedNode } from "./testing/node-columns.ts";

const bars = () => new q.StreamInput({ source: "px", columns: ["high", "close"], interval: "1d" });

/** Id, content and name of a node. */
function identified(make: () => q.StrategyNode) {
  const { id, hashable, declared } = identifiedNode(make(), import.meta.url).nodes.at(-1)!;
  return { id, hashable, name: declared.name };
}

describe("all columns of a node", () => {
  test("are the nodes that column makes", () => {
    const stream = bars();
    const { high, close } = q.columns(stream);

    expect(Object.keys(q.columns(stream))).toEqual(["high", "close"]);
    expect(identified(() => close).id).toBe(identified(() => q.column(stream, "close")).id);
    expect(identified(() => high).id).not.toBe(identified(() => close).id);
  });

  test("refuse a name that the node does not have when it is read, with the nearest one", () => {
    const all = q.columns(bars() as q.StreamInput);

    expect(() => all.clos).toThrow(q.DeclarationError);
    expect(() => all.clos).toThrow(
      'columns: "clos" is not a column of the node; did you mean "close"?',
    );
    expect(() => q.column(bars() as q.StreamInput, "volume")).toThrow("it has high, close");
  });

  test("cost nothing unless they are read", () => {
    const { close } = q.columns(bars());
    const graph = identifiedNode(q.sma(close, 2));

    expect(graph.nodes.map(({ hashable }) => hashable.node_type)).toEqual([
      "StreamInput",
      "column",
      "sma",
    ]);
  });
});

describe("a derived node", () => {
  const gap = (params = { scale: 2 }, options: q.NodeOptions<"high" | "close"> = {}) =>
    identified(() => {
      const { high, close } = q.columns(bars());
      return q.derive({ high, close }, (x, p) => (x.high - x.close) * p.scale, params, options);
    });

  test("has a type of its own, period 1, its params and modes in its id", () => {
    const { hashable, name } = gap();

    expect(hashable).toMatchObject({
      node_type: "derive/2",
      interval_seconds: 86_400,
      period: 1,
      params: { scale: 2 },
      schema_compat_id: "f64:value",
    });
    expect(hashable.inputs.map(({ port }) => port)).toEqual(["high", "close"]);
    expect(name).toBe("derive(column(px,high),column(px,close))");
    expect(gap({ scale: 2 }, { name: "gap" }).id).toBe(gap().id);
    const others = [gap({ scale: 3 }), gap({ scale: 2 }, { onMissing: "carry" })];
    expect(new Set([gap(), ...others].map(({ id }) => id)).size).toBe(3);
  });

  test("is never the node that a function of windows with the same text makes", () => {
    const fn = (x: { readonly a: unknown }) => (x.a === undefined ? 1 : 2);
    const a = q.column(bars(), "close");

    const windows = identified(() => new q.ProcessingNode({ inputs: { a }, compute: fn }));
    const values = identified(() => q.derive({ a }, fn));

    expect(windows.id).not.toBe(values.id);
    expect({ ...windows.hashable, node_type: "" }).toEqual({ ...values.hashable, node_type: "" });
  });

  test.each<[string, string, () => unknown]>([
    ["derive.inputs", "needs at least one upstream", () => q.derive({}, () => 1)],
    ["derive.inputs.a", "2 columns (high, close)", () => q.derive({ a: bars() } as never, () => 1)],
    ["derive.inputs.a", "is not a node", () => q.derive({ a: 1 } as never, () => 1)],
    [
      "derive.compute",
      "takes (x, params) and nothing else",
      () => q.derive({ a: q.column(bars(), "high") }, ((_a: 1, _b: 2, _c: 3) => 1) as never),
    ],
    [
      'derive "d".compute',
      "plain function",
      () => q.derive({ a: q.column(bars(), "high") }, (async () => 1) as never, {}, { name: "d" }),
    ],
    [
      "derive.params.world",
      "is reserved",
      () => q.derive({ a: q.column(bars(), "high") }, () => 1, { world: 1 }),
    ],
    [
      "derive.onMissing.b",
      "is not a port of the node",
      () =>
        q.derive(
          { a: q.column(bars(), "high") },
          () => 1,
          {},
          { onMissing: { b: "nan" } as never },
        ),
    ],
  ])("%s: %s", (field, problem, declare) => {
    expect(declare).toThrow(q.DeclarationError);
    expect(declare).toThrow(field);
    expect(declare).toThrow(problem);
  });
});

/** The textbook crossover. */
class Cross extends q.Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const stream = new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" });
    const { close } = q.columns(stream);
    const means = { fast: q.sma(close, 50), slow: q.sma(close, 200) };
    const signal = q.derive(means, (x) => (x.fast > x.slow ? 1 : -1), {}, { name: "side" });
    this.addNodes([new q.WeightTargetNode({ signal, instrument: "X" })]);
  }
}

test("a derived crossover trades once its slower mean has a value, and not before", async () => {
  const closes = Array.from({ length: 260 }, (_, i) => 100 * 1.001 ** i);

  const result = await runOnBars(Cross, barsOfCloses(closes));

  expect(result.orders.map(({ side }) => side)).toEqual(["long"]);
  const moved = result.equity.findIndex((value) => value !== result.equity[0]);
  expect(moved).toBe(200); // decided on row 199, the first with a mean of 200; filled at the next open
  expect(result.nodes.map(({ type }) => type)).toContain("derive");
});

class Wrong extends q.Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const { close } = q.columns(bars());
    const signal = q.derive(
      { close },
      (x) => (x.close > 2 ? ("3" as never) : 1),
      {},
      { name: "odd" },
    );
    this.addNodes([new q.WeightTargetNode({ signal, instrument: "X" })]);
  }
}

test("a derived node that gives no number ends the run with node, row and time", async () => {
  await expect(runOnBars(Wrong, barsOfCloses([1, 2, 3]))).rejects.toThrow(
    /node "odd" at row 2 \(bucket ending .*\) failed: compute returned string; it must return a number or null/,
  );
});
