import { blake3Hex, jcs } from "@qmtl/core/canonical";
import { describe, expect, test } from "vitest";
import { barsOfCloses } from "../testing/index.ts";
import { runOnBars } from "../testing/run-on-bars.ts";
import { assignIds, compileStrategy, type HashableNode } from "./graphs.ts";
import * as q from "./index.ts";

const bars = () => new q.StreamInput({ source: "px", columns: ["close"], interval: "1d" });

/** What the id of the last of some nodes is made of. */
function contentOf(node: q.StrategyNode): HashableNode {
  class Any extends q.Strategy {
    override setup(): void {
      this.addNodes([node]);
    }
  }
  const hash = (content: HashableNode): string =>
    `blake3:${blake3Hex(jcs({ ...content, code: String(content.code.kind) } as never))}`;
  return assignIds(compileStrategy(new Any(), { worldId: "w" }), hash).nodes.at(-1)!.hashable;
}

const sum = (onMissing?: q.OnMissingOption<"a" | "b">): HashableNode => {
  const a = bars();
  return contentOf(
    new q.ProcessingNode({
      inputs: { a, b: q.sma(a, 2) },
      period: 1,
      onMissing,
      compute: (w) => w.a.latest() + w.b.latest(),
    }),
  );
};

describe("the id of a node", () => {
  test("of the author's own function is that of semantics version 2, and holds no mode while every port skips", () => {
    expect([sum().node_type, sum().params]).toEqual(["ProcessingNode/2", {}]);
    expect(sum("skip").params).toEqual({});
    expect(sum({ a: "skip", b: undefined }).params).toEqual({});
  });

  test("holds the mode of all ports, or those of the ports that do not skip", () => {
    expect(sum("carry").params).toEqual({ on_missing: "carry" });
    expect(sum({ carry: 3 }).params).toEqual({ on_missing: { carry: 3 } });
    expect(sum({ b: "nan" }).params).toEqual({ on_missing: { b: "nan" } });
    expect(sum({ a: "fail", b: { carry: 2 } }).params).toEqual({
      on_missing: { a: "fail", b: { carry: 2 } },
    });
  });

  test("is one for one meaning: a mode for each port or the same for all", () => {
    expect(sum({ a: "nan", b: "nan" }).params).toEqual(sum("nan").params);
  });

  test("of a built-in or a query is as it was, and of version 2 once it says what to do without a value", () => {
    const query = (onMissing?: q.OnMissing) =>
      contentOf(
        new q.TagQueryNode({
          queryTags: ["a"],
          interval: 60,
          period: 1,
          onMissing,
          compute: () => 1,
        }),
      );

    expect(contentOf(q.sma(bars(), 2)).node_type).toBe("sma");
    expect(contentOf(q.sma(bars(), 2, { onMissing: "carry" })).node_type).toBe("sma/2");
    expect(query().node_type).toBe("TagQueryNode");
    expect(query("nan").node_type).toBe("TagQueryNode/2");
  });
});

test.each([
  ["ignore", "must be skip, nan, carry, { carry: rows } or fail, not ignore"],
  [{ carry: 0 }, "must be an integer in 1..10000"],
  [{ signal: "nan" }, "signal: is not a port of the node; it has a, b"],
  [{ A: "nan" }, 'A: is not a port of the node; did you mean "a"?'],
  [{ a: "nam" }, "a: must be skip, nan, carry"],
  [{}, "must be skip, nan, carry"],
  [7, "must be skip, nan, carry"],
])("onMissing %j is refused", (given, problem) => {
  expect(() => sum(given as never)).toThrow(q.DeclarationError);
  expect(() => sum(given as never)).toThrow(problem);
});

test("a port named carry has a mode of its own", () => {
  const a = bars();
  const node = (onMissing: q.OnMissingOption<"carry" | "b">) =>
    contentOf(
      new q.ProcessingNode({
        inputs: { carry: a, b: q.sma(a, 2) },
        period: 1,
        onMissing,
        compute: (w) => w.b.latest(),
      }),
    );

  expect(node({ carry: 2 }).params).toEqual({ on_missing: { carry: 2 } });
  expect(node({ carry: { carry: 2 } }).params).toEqual({ on_missing: { carry: { carry: 2 } } });
  expect(node({ carry: "nan" }).params).toEqual({ on_missing: { carry: "nan" } });
});

/** The textbook crossover, written with a plain comparison. */
class Cross extends q.Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const stream = new q.StreamInput({ source: "px", columns, interval: "1d" });
    const close = q.column(stream, "close");
    const side = new q.ProcessingNode({
      name: "side",
      inputs: { fast: q.sma(close, 50), slow: q.sma(close, 200) },
      period: 1,
      compute: (w) => (w.fast.latest() > w.slow.latest() ? 1 : -1),
    });
    this.addNodes([new q.WeightTargetNode({ signal: side, instrument: "X" })]);
  }
}

test("a crossover is flat until its slower mean has a value and does not go short on NaN", async () => {
  const closes = Array.from({ length: 260 }, (_, i) => 100 * 1.001 ** i);

  const result = await runOnBars(Cross, barsOfCloses(closes));

  expect(result.fills.map(({ side }) => side)).toEqual(["buy"]);
  expect(result.orders.length).toBe(1);
  const moved = result.equity.findIndex((value) => value !== result.equity[0]);
  expect(moved).toBe(200); // decided on row 199, the first with a mean of 200; filled at the next open
  expect(result.equity.at(-1)).toBeGreaterThan(result.equity[0]!);
});
