import {
  column,
  PositionTargetNode,
  ProcessingNode,
  type StaleSignal,
  Strategy,
  StreamInput,
  sma,
  WeightTargetNode,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { type BuiltBars, barsOfCloses, runOnBars, withColumn } from "@qmtl/sdk/testing";
import { expect, test } from "vitest";

const ohlc = ["open", "high", "low", "close"];
const day = { interval: "1d" } as const;
const stream = (source: string) => new StreamInput({ source, columns: ohlc, ...day });

/** Closes of both feeds, compared: long X while X is the dearer one. */
class Pair extends Strategy {
  static readonly module = import.meta.url;
  static first: "x" | "y" = "x";
  static stale: Partial<StaleSignal> = {};

  override setup(): void {
    const x = column(stream("x"), "close");
    const y = column(stream("y"), "close");
    const compute = (w: { x: { latest(): number }; y: { latest(): number } }): number =>
      w.x.latest() > w.y.latest() ? 1 : 0;
    const inputs = Pair.first === "x" ? { x, y } : { y, x };
    const xs = new ProcessingNode({ name: "xs", inputs, period: 1, compute });
    const { stale } = Pair;
    this.addNodes([new WeightTargetNode({ signal: xs, instrument: "X", stale })]);
  }
}

const rising = (count: number): BuiltBars =>
  barsOfCloses(Array.from({ length: count }, (_, k) => 100 + k));
const flat = (count: number): BuiltBars => barsOfCloses(new Array<number>(count).fill(50));
const traded = { instruments: { X: { source: "x" } }, noCosts: true };

async function pair(
  first: "x" | "y",
  stale: Partial<StaleSignal>,
  y: BuiltBars = flat(20),
): ReturnType<typeof runOnBars> {
  Pair.first = first;
  Pair.stale = stale;
  return runOnBars(Pair, { x: rising(40), y }, traded);
}

const notesOf = ({ notes }: { readonly notes: readonly string[] }) =>
  notes.filter((note) => note.startsWith("signal of") || note.startsWith("Source "));

test.each(["x", "y"] as const)(
  "a target whose second feed ends early says how long it had no signal and because of whom, with %s as the first input",
  async (first) => {
    const result = await pair(first, {});

    expect(notesOf(result)).toEqual([
      "signal of target(xs,X): no value for 20 of 40 buckets, since 2020-01-20, because source y has none",
      "Source y ends with the bar of 2020-01-20; the run goes on to 2020-02-09.",
    ]);
    expect(result.orders).toHaveLength(1); // a hole does not trade
  },
);

test.each(["x", "y"] as const)(
  "a target that is to go flat does so after as many buckets, with %s as the first input",
  async (first) => {
    // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
    const result = await pair(first, { after: 3, then: "flat" });

    // Buckets 20, 21 and 22 have no signal; what is decided at the end of the last fills on the next bar.
    const days = result.fills.map(({ eventTimeMs }) => new Date(eventTimeMs).toISOString());
    expect(days.map((time) => time.slice(0, 10))).toEqual(["2020-01-02", "2020-01-24"]);
    expect(Number(result.instruments[0]!.quantity)).toBe(0);
    expect(notesOf(result)[0]).toBe(
      "signal of target(xs,X): no value for 20 of 40 buckets, since 2020-01-20, because source y has none; the target was set to 0",
    );
  },
);

test("a short hole is no fact, and one in the middle of the run says when it ended", async () => {
  const holed = (from: number, to: number): BuiltBars => {
    const bars = flat(40);
    return withColumn(bars, "close", (row) => (row >= from && row < to ? Number.NaN : 50));
  };

  expect(notesOf(await pair("x", {}, holed(20, 24)))).toEqual([]);
  expect(notesOf(await pair("x", {}, holed(20, 25)))).toEqual([
    "signal of target(xs,X): no value for 5 of 40 buckets, since 2020-01-20 until 2020-01-26, because source y has none",
  ]);
});

test("several holes are told with the number of all buckets in them, and the longest of them", async () => {
  const isHole = (row: number): boolean =>
    (row >= 5 && row < 8) || (row >= 12 && row < 18) || (row >= 30 && row < 32);
  const holed = withColumn(flat(40), "close", (row) => (isHole(row) ? Number.NaN : 50));

  expect(notesOf(await pair("x", {}, holed))).toEqual([
    "signal of target(xs,X): no value for 11 of 40 buckets, 6 of them in a row since 2020-01-12 until 2020-01-19, because source y has none",
  ]);
});

test("the note of the first value names the source that had none until then, else the longest window", async () => {
  class Signal extends Strategy {
    readonly #rows: number;

    constructor(rows: number) {
      super();
      this.#rows = rows;
    }

    override setup(): void {
      const bars = new StreamInput({ source: "x", columns: [...ohlc, "signal"], ...day });
      const signal = sma(column(bars, "signal"), this.#rows, { name: "mean" });
      const thresholds = { longEnter: 105, longExit: 95 };
      this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
    }
  }
  const late = withColumn(rising(8), "signal", (row) => (row < 3 ? Number.NaN : 106));
  const whole = withColumn(rising(8), "signal", () => 106);
  const noteOf = async (bars: typeof late, rows: number) => {
    const { notes } = await runOnBars(new Signal(rows), bars);
    return notes.find((note) => note.includes("first value"));
  };

  expect(await noteOf(late, 1)).toBe(
    'The signal "mean" of X has its first value on row 4 of 8: source x has no value before that.',
  );
  expect(await noteOf(whole, 3)).toBe(
    'The signal "mean" of X has its first value on row 3 of 8: "mean" needs 3 rows.',
  );
});

/** Long above 105, flat below 95; the signal is a column of its own. */
class Entered extends Strategy {
  override setup(): void {
    const bars = new StreamInput({ source: "x", columns: [...ohlc, "signal"], ...day });
    const target = {
      signal: column(bars, "signal"),
      instrument: "X",
      thresholds: { longEnter: 105, longExit: 95 },
      // biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
      stale: { after: 2, then: "flat" },
    } as const;
    this.addNodes([new PositionTargetNode(target), sma(column(bars, "close"), 2)]);
  }
}

test("after a stale signal a position begins flat: a signal between the thresholds does not enter", async () => {
  const signals = [106, 106, Number.NaN, Number.NaN, 100, 100, 106, 106];
  const bars = withColumn(rising(8), "signal", (row) => signals[row]!);
  const told: [number, number][] = [];
  class Told extends Entered {
    override onSignal({ row, target }: { row: number; target: number }): void {
      told.push([row, target]);
    }
  }

  await runOnBars(Told, bars, { noCosts: true });

  expect(told).toEqual([
    [0, 1],
    [3, 0],
    [6, 1],
  ]);
});
