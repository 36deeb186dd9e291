import {
  column,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
  type WeightTargetNodeOptions,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import {
  type BuiltBars,
  barsOfCloses,
  barsProject,
  randomWalkBars,
  runOnBars,
  withColumn,
} from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";

/** The column w of the file, as it stands. */
class Hold extends Strategy {
  static readonly module = import.meta.url;
  readonly #interval: string;

  constructor(interval = "1d") {
    super();
    this.#interval = interval;
  }

  override setup(): void {
    const columns = ["open", "high", "low", "close", "w"];
    const bars = new StreamInput({ source: "px", columns, interval: this.#interval });
    const limits = { weightMin: -10, weightMax: 10 };
    this.addNodes([
      new WeightTargetNode({ signal: column(bars, "w"), instrument: "X", ...limits }),
    ]);
  }
}

const held = (bars: BuiltBars, weight = 1): BuiltBars => withColumn(bars, "w", () => weight);

/** Bars that each open where they close, so that every move is one between two bars. */
function jumping(closes: readonly number[]): BuiltBars {
  const bars = barsOfCloses(closes, { from: "2024-03-01" });
  const close = bars.columns.get("close")!;
  const columns = new Map([...bars.columns].map(([name, values]) => [name, values] as const));
  for (const name of ["open", "high", "low"]) columns.set(name, close);
  return { ...bars, columns };
}

/** The same bars without rows `[from, to)`. */
function without(bars: BuiltBars, from: number, to: number): BuiltBars {
  const kept = (values: Float64Array): Float64Array =>
    values.filter((_, row) => row < from || row >= to);
  const columns = new Map([...bars.columns].map(([name, values]) => [name, kept(values)] as const));
  return {
    ...{ ...bars, columns, rows: bars.rows - to + from },
    ...{ openTimeMs: kept(bars.openTimeMs), bucketEndMs: kept(bars.bucketEndMs) },
  };
}

async function notesOf(bars: BuiltBars, strategy = new Hold(), periodsPerYear = 252) {
  const { notes } = await runOnBars(strategy, bars, { periodsPerYear });
  return notes;
}

const about = (notes: readonly string[], text: string): readonly string[] =>
  notes.filter((note) => note.includes(text));

describe("the notes of a run", () => {
  test("tell of a split that the prices are not adjusted for, once, with its row and date", async () => {
    const notes = await notesOf(held(jumping([400, 404, 408, 102, 103])));

    expect(about(notes, "whole ratio")).toEqual([
      "The price of X jumps by a whole ratio between two bars once, at row 4, 2024-03-04, from 408 to 102: if that is a split of 4 for 1, adjust the prices for it, since it counts as a gain or a loss.",
    ]);
  });

  test("tell of several such jumps in one sentence, and of none where prices only move", async () => {
    const twice = await notesOf(held(jumping([100, 50, 51, 255, 250])));
    const moves = await notesOf(held(jumping([100, 80, 120, 60.9, 90])));

    expect(about(twice, "whole ratio")).toHaveLength(1);
    expect(twice.join()).toContain("2 times, the first at row 2, 2024-03-02, from 100 to 50");
    expect(about(moves, "whole ratio")[0]).toContain("once, at row 4"); // 120 to 60.9 is 2 for 1
    expect(about(await notesOf(held(randomWalkBars({ count: 300 }))), "whole ratio")).toEqual([]);
  });

  test("tell of a hole in a market round the clock, with its rows and times", async () => {
    const minutes = randomWalkBars({
      count: 1_000,
      interval: "1m",
      from: "2024-01-01",
      volatility: 0.0001,
    });
    const notes = await notesOf(held(without(minutes, 300, 650)), new Hold("1m"), 525_600);

    expect(about(notes, "missing")).toEqual([
      "Of X 350 of 1000 bars are missing (35 %), 350 of them in one hole between row 300, 2024-01-01T04:59:00Z, and row 301, 2024-01-01T10:50:00Z.",
    ]);
  });

  test("tell of every bucket without a row where a source is continuous, and that an observed stream has no holes", async () => {
    const bars = held(without(randomWalkBars({ count: 100, from: "2024-01-01" }), 40, 43));
    await using project = await barsProject({ px: bars }, { instruments: { X: {} } });
    const { config } = project;
    const of = async (schedule: "observed" | "continuous") => {
      const px = { ...config.sources.px!, schedule };
      return (await Runner.offline(new Hold(), { config: { ...config, sources: { px } } })).notes;
    };
    const notes = await of("continuous");

    expect(about(notes, "missing")).toEqual([
      "Of X 3 of 100 bars are missing (3 %), 3 of them in one hole between row 40, 2024-02-09, and row 41, 2024-02-13.",
    ]);
    expect(notes).toContain(
      'Source px is continuous in the configuration, but a stream reads it as observed, so a bucket without a row is no hole in its windows: state schedule: "continuous" of the StreamInput, too.',
    );
    expect(about(await of("observed"), "missing")).toEqual([]);
    expect(about(await of("observed"), "continuous")).toEqual([]);
  });

  test("tell of no missing bars where a source is sparse, whose bars come only now and then", async () => {
    const days = randomWalkBars({ count: 360, from: "2024-01-01" });
    let bars = days;
    for (let row = days.rows - 1; row >= 0; row--)
      if (row % 6 !== 0) bars = without(bars, row, row + 1);
    await using project = await barsProject({ px: held(bars) }, { instruments: { X: {} } });
    const { config } = project;
    const px = { ...config.sources.px!, periods_per_year: 365, sparse: true };
    const { notes } = await Runner.offline(new Hold(), { config: { ...config, sources: { px } } });

    expect(about(notes, "59 bars of X")).toHaveLength(1);
    expect(about(notes, "missing")).toEqual([]);
  });

  test("tell of a start after the last bar, from which on a world gets nothing", async () => {
    const bars = held(randomWalkBars({ count: 40, from: "2024-01-01" }));
    await using project = await barsProject({ px: bars }, { instruments: { X: {} } });
    const { config } = project;
    const of = async (start: string) => {
      const px = { ...config.sources.px!, start };
      return (await Runner.offline(new Hold(), { config: { ...config, sources: { px } } })).notes;
    };

    expect(about(await of("2030-05-31"), "start")).toEqual([
      'The "start" of source px (2030-05-31) is later than its last bar (2024-02-09): a world gets no bar of it.',
    ]);
    expect(about(await of("2024-02-09"), "later than")).toEqual([]);
  });

  test("count one thing as one", async () => {
    const notes = await notesOf(held(jumping([400])));

    expect(notes[0]).toBe("1 bar of X, 2024-03-01 to 2024-03-01.");
  });

  test("tell of a hole in a market with sessions, but of no weekend and no holiday", async () => {
    const days = randomWalkBars({ count: 700, from: "2024-01-01" });
    const isOpen = (ms: number): boolean => ![0, 6].includes(new Date(ms).getUTCDay());
    let sessions = days;
    for (let row = days.rows - 1; row >= 0; row--) {
      if (!isOpen(days.openTimeMs[row]!)) sessions = without(sessions, row, row + 1);
    }
    const holiday = without(sessions, 100, 102);
    const hole = without(sessions, 100, 130);

    expect(about(await notesOf(held(holiday)), "missing")).toEqual([]);
    expect(about(await notesOf(held(hole)), "missing")).toEqual([
      expect.stringMatching(
        /^Of X about 30 of 500 bars are missing \(6 %\), about 30 of them in one hole between row 100, 2024-05-17, and row 101, 2024-07-01\.$/,
      ),
    ]);
  });

  test("tell of fills on bars in which nobody traded", async () => {
    const bars = held(barsOfCloses([100, 101, 102, 103], { from: "2024-03-01" }));
    const empty = withColumn(bars, "volume", () => 0);

    expect(about(await notesOf(empty), "volume of 0")).toEqual([
      "1 fill of X on bars with a volume of 0, in which nobody traded; the first is row 2, 2024-03-02.",
    ]);
    expect(about(await notesOf(bars), "volume of 0")).toEqual([]);
  });

  test("tell of a purchase that a gap made dearer than the account's cash", async () => {
    const notes = await notesOf(held(jumping([100, 150, 150, 160]), 0.9));
    const [note] = about(notes, "dearer than the cash");
    const within = await notesOf(held(jumping([100, 150, 150, 160]), 0.5));

    expect(note).toMatch(/^A gap of 50 % made the purchase of [\d.]+ X at row 2, 2024-03-02, /);
    expect(about(within, "dearer")).toEqual([]);
  });

  test("tell that a yearly growth rate is of few returns, and not where there are enough", async () => {
    const few = await notesOf(held(randomWalkBars({ count: 40 })));
    const many = await notesOf(held(randomWalkBars({ count: 130 })));

    expect(about(few, "cagr")).toEqual([
      "The cagr is of 39 returns, and a year has 252: it says what the same growth would make of a year, not what to expect.",
    ]);
    expect(about(many, "cagr")).toEqual([]);
  });
});

/** Column w of each file as the target of X and of Y. */
class Two extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    for (const [source, instrument] of [
      ["x", "X"],
      ["y", "Y"],
    ] as const) {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source, columns, interval: "1d" });
      const targets = new StreamInput({
        source: "w",
        columns: [instrument],
        interval: "1d",
      });
      const signal = column(targets, instrument);
      this.addNodes([bars, new WeightTargetNode({ signal, instrument })]);
    }
  }
}

describe("an instrument whose bars end before the run does", () => {
  const bars = (count: number) => barsOfCloses(new Array<number>(count).fill(100));
  const run = (targetOfY: (row: number) => number) => {
    const w = withColumn(
      withColumn(bars(20), "X", () => 0.5),
      "Y",
      targetOfY,
    );
    const instruments = { X: { source: "x" }, Y: { source: "y" } };
    return runOnBars(Two, { x: bars(20), y: bars(10), w }, { instruments, noCosts: true });
  };

  test("is told to be held at its last close, and that the order to close it waits", async () => {
    const { notes, equity, fills } = await run((row) => (row < 12 ? 0.5 : 0));

    expect(about(notes, "to the end")).toEqual([
      "5000 Y are held to the end at the close of 2020-01-10: source y has no later bar.",
      "An order of Y waits to the end, and the buying power counts it as filled: source y has no later bar than 2020-01-10.",
    ]);
    expect(fills).toHaveLength(2);
    expect(equity.at(-1)).toBe(1_000_000);
  });

  test("is not told where nothing of it is held and no order waits", async () => {
    const { notes } = await run((row) => (row < 5 ? 0.5 : 0));

    expect(about(notes, "to the end")).toEqual([]);
  });
});

describe("a target that never changed says why, and nothing that is not so", () => {
  class Chosen extends Strategy {
    static readonly module = import.meta.url;
    readonly #options: Partial<WeightTargetNodeOptions>;

    constructor(options: Partial<WeightTargetNodeOptions>) {
      super();
      this.#options = options;
    }

    override setup(): void {
      const columns = ["open", "high", "low", "close", "w"];
      const bars = new StreamInput({ source: "px", columns, interval: "1d" });
      const signal = column(bars, "w");
      this.addNodes([new WeightTargetNode({ signal, instrument: "X", ...this.#options })]);
    }
  }
  const bars = barsOfCloses(new Array<number>(20).fill(100));

  test("of a signal that moves only where its rebalance does not take it", async () => {
    const moving = withColumn(bars, "w", (row) => (row === 5 ? 0.2 : 0));

    const { notes } = await runOnBars(new Chosen({ rebalance: { every: "1mo" } }), moving);

    expect(about(notes, "No order")).toEqual([
      'No order: the signal "column(px,w)" of X lies between 0 and 0.2, never 0.01 or more away from the target, which is 0 at first, when held within -1 to 1 at a bucket at which its rebalance takes it.',
    ]);
  });

  test("of a signal that lies outside its bounds", async () => {
    const { notes } = await runOnBars(new Chosen({ weightMin: 0 }), held(bars, -0.5));

    expect(about(notes, "No order").join()).toContain(
      "lies between -0.5 and -0.5, never 0.01 or more away from the target, which is 0 at first, when held within 0 to 1.",
    );
  });
});
