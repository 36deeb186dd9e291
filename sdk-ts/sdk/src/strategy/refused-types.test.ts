import { expect, test } from "vitest";
import * as q from "./index.ts";

/*
 * What the compiler must refuse: each line below a `@ts-expect-error` compiles only if it is an error of types. What is
 * declared in `refused` is never run; what it would do at run is tested beside each node.
 */
const bars = new q.StreamInput({ source: "px", columns: ["high", "close"], interval: "1d" });
const close: q.Series = q.column(bars, "close");

export const refused = (): unknown[] => [
  // @ts-expect-error a column that is not declared
  q.column(bars, "open"),
  // @ts-expect-error the same by name
  q.columns(bars).volume,
  // @ts-expect-error a column that no band has
  q.column(q.bollinger(close, 20), "middle"),
  // @ts-expect-error a bar has two columns; a node reads one
  q.sma(bars, 5),
  // @ts-expect-error the same in a function of one's own
  q.derive({ bars }, (x) => x.bars),
  // @ts-expect-error a port that is not there
  q.derive({ close }, (x) => x.open),
  // @ts-expect-error a param that is not there
  q.derive({ close }, (x, p) => x.close * p.scale, { scal: 2 }),
  // @ts-expect-error a port of onMissing that is not there
  q.derive({ close }, (x) => x.close, {}, { onMissing: { open: "nan" } }),
  // @ts-expect-error values are given, not changed
  q.derive({ close }, (x) => (x.close = 1)),
  // @ts-expect-error a stream has no windows
  new q.StreamInput({ source: "px", columns: ["close"], interval: "1d", period: 1 }),
  // @ts-expect-error an output that is not declared
  q.column(line(), "slop"),
  new q.ProcessingNode({
    inputs: { close },
    outputs: ["a", "b"],
    compute: (_windows, _params, out) => {
      // @ts-expect-error the same where it is written
      out.c = 1;
      // @ts-expect-error text is no output
      out.a = "x";
    },
  }),
  // @ts-expect-error without outputs a number is returned
  new q.ProcessingNode({ inputs: { close }, compute: () => {} }),
  // @ts-expect-error an output that is no field of the state
  new q.FoldNode({ inputs: { close }, initial: { best: 0 }, outputs: ["bst"], step: () => null }),
  // @ts-expect-error an output that is no number
  new q.FoldNode({ inputs: { close }, initial: { up: true }, outputs: ["up"], step: () => null }),
  // @ts-expect-error text is no state
  new q.FoldNode({ inputs: { close }, initial: { name: "a" }, step: () => 1 }),
  new q.FoldNode({
    inputs: { close },
    initial: { n: 0, up: false },
    step: (state, x) => {
      // @ts-expect-error a field of another type
      state.n = "a";
      // @ts-expect-error a new field
      state.m = 1;
      // @ts-expect-error a port that is not there
      return x.open;
    },
  }),
  new q.FoldNode({
    inputs: { close },
    // @ts-expect-error a port of onMissing that is not there
    onMissing: { open: "nan" },
    initial: { n: 0 },
    step: (state) => state.n,
  }),
  // @ts-expect-error a node of two columns
  new q.FoldNode({ inputs: { bars }, initial: { n: 0 }, step: (s) => s.n }),
  // @ts-expect-error a field that is no output
  q.column(channel(), "since"),
  // @ts-expect-error a node of two columns
  q.lag(bars, 1),
  // @ts-expect-error misspelt threshold of a side
  q.hysteresis(close, { longEntr: 1 }),
  // @ts-expect-error misspelt threshold
  new q.PositionTargetNode({ signal: close, instrument: "X", thresholds: { longEntr: 1 } }),
];

/** Two outputs of one function. */
function line() {
  return new q.ProcessingNode({
    inputs: { close },
    period: 2,
    outputs: ["slope", "mid"],
    params: { half: 0.5 },
    compute: (windows, { half }, out) => {
      out.slope = windows.close.latest() - windows.close.latest(1);
      out.mid = windows.close.at(0) + half * out.slope;
    },
  });
}

/** A fold with fields of each type, two of them outputs. */
function channel() {
  return new q.FoldNode({
    inputs: { close },
    initial: { top: 0, bottom: 0, since: 0, up: false, ring: new Float64Array(3) },
    outputs: ["top", "bottom"],
    params: { fade: 0.1 },
    step: (state, x, { fade }) => {
      state.top = Math.max(state.top * (1 - fade), x.close);
      state.up = x.close >= state.top;
      state.since = state.up ? 0 : state.since + 1;
      state.ring[state.since % 3] = x.close;
    },
  });
}

/** What compiles, also without the names of columns, as strategies were written before they were known. */
export function accepted(price: q.StrategyNode, names: readonly string[]): readonly q.Series[] {
  const stream = new q.StreamInput({ source: "px", columns: names, interval: "1d" });
  const single: q.StreamInput = new q.StreamInput({ source: "px", columns: ["close"] });
  const { high } = q.columns(bars);
  const ratio = q.derive({ high, close }, (x, { scale }) => (x.high / x.close) * scale, {
    scale: 2,
  });
  const any = q.column(stream, "whatever");
  const { slope, mid } = q.columns(line());
  const best: q.Series = q.column(channel(), "top");
  const count: q.Series = new q.FoldNode({
    inputs: { price },
    initial: { n: 0 },
    step: (state) => ++state.n,
  });
  return [
    q.sma(price, 5),
    q.sma(single, 5),
    ratio,
    any,
    slope,
    mid,
    best,
    count,
    q.derive({ price, single }, (x) => x.price),
  ];
}

test("columns that the compiler knows are those that there are", () => {
  expect(accepted(close, ["whatever"]).map(({ outputs }) => outputs)).toEqual(
    new Array(9).fill(["value"]),
  );
});
