import {
  column,
  ProcessingNode,
  type Rebalance,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk"; // as a strategy's file has it
import {
  type BuiltBars,
  barsOfCloses,
  barsProject,
  constantBars,
  runOnBars,
  withColumn,
} from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";
import { accountSchema, instrumentSchema } from "../../config/data-sections.ts";

const day = { interval: "1d" } as const;

/** Column w of the file as its target. */
class Hold extends Strategy {
  readonly #rebalance: Rebalance | undefined;
  constructor(rebalance?: Rebalance) {
    super();
    this.#rebalance = rebalance;
  }
  override setup(): void {
    const columns = ["open", "high", "low", "close", "w"];
    const bars = new StreamInput({ source: "x", columns, ...day });
    const bounds = { weightMin: -10, weightMax: 10, step: 0 };
    const rebalance = this.#rebalance;
    this.addNodes([
      new WeightTargetNode({ signal: column(bars, "w"), instrument: "X", ...bounds, rebalance }),
    ]);
  }
}

type Row = readonly [open: number, high: number, low: number, close: number, weight: number];

/** Daily bars from 2020-01-01. */
function barsOf(rows: readonly Row[]): BuiltBars {
  let bars = constantBars({ count: rows.length });
  for (const [at, name] of ["open", "high", "low", "close", "w"].entries()) {
    bars = withColumn(bars, name, (row) => rows[row]![at]!);
  }
  return bars;
}

/** Opens at the close before. */
function closes(values: readonly number[], weights: readonly number[]): BuiltBars {
  return barsOf(
    values.map((close, row) => {
      const open = row === 0 ? close : values[row - 1]!;
      return [open, Math.max(open, close), Math.min(open, close), close, weights[row]!];
    }),
  );
}

type Section = Readonly<Record<string, unknown>>;

/** A run on an account that pays no costs and begins with 1,000, unless `account` says otherwise. */
async function run(
  bars: BuiltBars,
  account: Section = {},
  instrument: Section = {},
  rebalance?: Rebalance,
) {
  await using project = await barsProject({ x: bars }, { instruments: { X: {} } });
  const { config } = project;
  const X = instrumentSchema.parse({ mark_source: "x", ...instrument });
  const free = { initial_cash: "1000", fee_bps: 0, half_spread_bps: 0, instruments: ["X"] };
  const main = accountSchema.parse({ ...free, ...account });
  return await Runner.offline(new Hold(rebalance), {
    config: { ...config, instruments: { X }, accounts: { main } },
  });
}

type Result = Awaited<ReturnType<typeof run>>;

const traded = ({ fills }: Result) =>
  fills.map(({ side, quantity, price }) => [side, Number(quantity), price]);

const refused = ({ refusals }: Result) =>
  refusals.map(({ quantity, reason }) => [Number(quantity), reason]);

/** Whether equities are those of an independent ledger, to 1e-9 of each. */
function expectLedger({ equity }: Result, ledger: readonly number[]): void {
  expect(equity).toHaveLength(ledger.length);
  for (const [at, value] of ledger.entries()) {
    expect(Math.abs(equity[at]! / value - 1)).toBeLessThan(1e-9);
  }
}

describe("an order that opens is cut to the buying power of its account", () => {
  const flat = closes([100, 100, 100], [3, 3, 3]);

  test("weight 3 at leverage 2 opens twice the equity, and says what was cut", async () => {
    const result = await run(flat, { leverage_max: 2 });

    expect(traded(result)).toEqual([["buy", 20, 100]]);
    expect(refused(result)).toEqual([[10, "REDUCED_TO_BUYING_POWER"]]);
    expect(result.notes.join("\n")).toContain(
      "Orders of X were cut to the buying power of the account once, at the bar ending 2020-01-02 (REDUCED_TO_BUYING_POWER): its gross exposure is at most 2 times its equity.",
    );
  });

  test("an account that states no leverage has 1, and a run that is cut by it is told", async () => {
    const result = await run(flat);

    expect(traded(result)).toEqual([["buy", 10, 100]]);
    expect(result.notes.join("\n")).toContain("it states no leverage_max");
  });

  test("weight 1 is never cut, whatever the costs and the usual differences between close and open", async () => {
    const bars = barsOf([
      [100, 100, 100, 100, 1],
      [101, 101, 101, 101, 1],
      [103, 103, 103, 103, -1],
      [100, 100, 100, 100, -1],
    ]);
    const result = await run(bars, { fee_bps: 10, half_spread_bps: 10 });

    expect(result.refusals).toEqual([]);
    expect(traded(result).map(([side, quantity]) => [side, quantity])).toEqual([
      ["buy", 10],
      ["sell", 10],
      ["sell", 9],
    ]);
  });

  test("an instrument's own leverage_max holds below the account's", async () => {
    const result = await run(flat, { leverage_max: 2 }, { leverage_max: 0.5 });

    expect(traded(result)).toEqual([["buy", 5, 100]]);
  });

  test("an account of kind cash opens no short, and closes what it holds", async () => {
    const bars = closes([100, 100, 100, 100], [1, -1, -1, -1]);
    const result = await run(bars, { kind: "cash" });

    expect(traded(result)).toEqual([
      ["buy", 10, 100],
      ["sell", 10, 100],
    ]);
    expect(refused(result)).toEqual([[-10, "REDUCED_TO_BUYING_POWER"]]);
  });

  test("a run may state other money rules than its account", async () => {
    await using project = await barsProject({ x: flat }, { instruments: { X: {} } });
    const options = { config: project.config, noCosts: true, initialCash: 1_000 };
    const result = await Runner.offline(Hold, { ...options, account: { leverageMax: 2 } });

    expect(traded(result)).toEqual([["buy", 20, 100]]);
    const contradiction = { kind: "cash", leverageMax: 2 } as const;
    await expect(Runner.offline(Hold, { ...options, account: contradiction })).rejects.toThrow(
      "an account of kind cash has a leverage of at most 1, not 2",
    );
  });

  test("a fill far above the mark buys no more than the account has at that price, and says so", async () => {
    const bars = barsOf([
      [100, 100, 100, 100, 1],
      [150, 150, 150, 150, 1],
      [150, 150, 150, 150, 1],
      [75, 75, 75, 75, 1],
    ]);
    const result = await run(bars);

    expect(traded(result)).toEqual([["buy", 6, 150]]);
    expect(refused(result)).toEqual([[4, "REDUCED_TO_BUYING_POWER"]]);
    expect(result.notes.join("\n")).toContain("at the bar ending 2020-01-03");
    expectLedger(result, [1_000, 1_000, 1_000, 550]);
  });
});

describe("an account that lacks margin", () => {
  const rules = { leverage_max: 2, maintenance: 0.25 };

  test("below its maintenance reduces all positions to its leverage at the next open", async () => {
    const result = await run(closes([100, 100, 62, 62, 62], [3, 3, 3, 3, 3]), rules);

    expect(traded(result)).toEqual([
      ["buy", 20, 100],
      ["sell", 13, 62],
    ]);
    expect(result.orders.map(({ origin }) => origin)).toEqual(["target", "margin"]);
    expectLedger(result, [1_000, 1_000, 240, 240, 240]);
    expect(result.notes.join("\n")).toContain(
      "Positions in X were reduced or closed for lack of margin once, decided at the bar ending 2020-01-04.",
    );
  });

  test("names the day on which it was decided, also of a position whose week was under way", async () => {
    class Both extends Strategy {
      static readonly module = import.meta.url;

      override setup(): void {
        for (const [instrument, source, interval] of [
          ["W", "w", "1w"],
          ["D", "d", "1d"],
        ] as const) {
          const columns = ["open", "high", "low", "close"];
          const close = column(new StreamInput({ source, columns, interval }), "close");
          const inputs = { close };
          const signal = new ProcessingNode({ inputs, period: 1, compute: () => 0.9 });
          this.addNodes([new WeightTargetNode({ signal, instrument })]);
        }
      }
    }
    const from = "2024-01-01"; // a Monday
    const d = barsOfCloses(
      Array.from({ length: 28 }, (_, day) => (day < 17 ? 100 : 50)),
      { from },
    );
    const w = barsOfCloses([100, 100, 100, 100], { from, interval: "1w" });
    const account = { leverageMax: 2, maintenance: 0.45 };
    const instruments = { W: { source: "w" }, D: { source: "d" } };
    const { notes } = await runOnBars(Both, { w, d }, { account, noCosts: true, instruments });

    const margin = notes.filter((note) => note.includes("for lack of margin"));
    // The close of Thursday, the 18th, is known when that day is over.
    expect(margin).toEqual(
      ["D", "W"].map(
        (symbol) =>
          `Positions in ${symbol} were reduced or closed for lack of margin once, decided at the bar ending 2024-01-19.`,
      ),
    );
  });

  test("or refuses an order within a week, names the day of the decision and not the end of the week", async () => {
    class Within extends Strategy {
      static readonly module = import.meta.url;

      override setup(): void {
        const columns = ["open", "high", "low", "close"];
        const d = new StreamInput({ source: "d", columns, ...day });
        const close = column(d, "close");
        const signal = new ProcessingNode({
          inputs: { close },
          period: 1,
          compute: (w) => (w.close.latest() > 100 ? -0.5 : 0),
        });
        this.addNodes([new WeightTargetNode({ signal, instrument: "W" })]);
      }
    }
    const from = "2024-01-01"; // a Monday
    const closesOfDays = Array.from({ length: 21 }, (_, at) => (at < 9 ? 100 : 110));
    const d = barsOfCloses(closesOfDays, { from });
    const w = barsOfCloses([100, 100, 100], { from, interval: "1w" });
    const options = { account: { kind: "cash" }, instruments: { W: { source: "w" } } } as const;
    const { notes, refusals } = await runOnBars(Within, { w, d }, options);

    expect(refusals.map(({ eventTimeMs }) => eventTimeMs)).toEqual([Date.UTC(2024, 0, 11)]);
    expect(notes.join()).toContain("once, at the bar ending 2024-01-11 (REDUCED_TO_BUYING_POWER)");
  });

  test("opens nothing until that is done", async () => {
    const result = await run(closes([100, 100, 62, 62, 62], [3, 3, 4, 4, 1]), rules);

    expect(refused(result).map(([, reason]) => reason)).toEqual([
      "REDUCED_TO_BUYING_POWER",
      "MARGIN_CALL",
    ]);
    expect(traded(result).slice(0, 2)).toEqual([
      ["buy", 20, 100],
      ["sell", 13, 62],
    ]);
  });

  test("is closed at the next open once nothing is left of its equity, and trades never again", async () => {
    const rows = closes([100, 100, 150, 250, 120, 100, 100], [-1, -1, -1, -1, -0.5, 1, 1]);
    const result = await run(rows, {});

    expect(traded(result)).toEqual([
      ["sell", 10, 100],
      ["buy", 10, 250],
    ]);
    expect([...result.equity]).toEqual([1_000, 1_000, 500, 0, 0, 0, 0]);
    expect(result.notes.join("\n")).toContain(
      "The equity was -500.00 USD at the bar ending 2020-01-05: the run is ruined, its last return is -100 %, what is held is closed at the next open",
    );
  });

  test("is ruined at an equity of exactly 0", async () => {
    const result = await run(closes([100, 100, 200, 200, 150], [-1, -1, -1, -1, 1]));

    expect(traded(result)).toEqual([
      ["sell", 10, 100],
      ["buy", 10, 200],
    ]);
    expect([...result.equity]).toEqual([1_000, 1_000, 0, 0, 0]);
  });

  test("sells at the next open even below 0, whatever the target says", async () => {
    const bars = barsOf([
      [20, 21, 17, 18.27, 1],
      [17.7, 17.9, -40.3, -37.63, 1],
      [-14, 13.9, -16.7, 10.01, 0],
      [11, 14, 10, 13.78, 0],
    ]);

    expect(traded(await run(bars))).toEqual([
      ["buy", 54, 17.7],
      ["sell", 54, -14],
    ]);
  });
});

describe("the limits of an account hold in a backtest", () => {
  const bars = closes([100, 100, 100, 100], [1, 0.5, 0.1, 0]);

  test("an order above max_order_notional is not made, exits always are", async () => {
    const result = await run(bars, { limits: { max_order_notional: "300" } });

    expect(traded(result)).toEqual([["buy", 1, 100]]);
    expect(refused(result)).toEqual([
      [10, "OVER_LIMIT"],
      [5, "OVER_LIMIT"],
    ]);
    expect(result.notes.join("\n")).toContain(
      "Orders of X were refused for the limits of the account 2 times, first at the bar ending 2020-01-02 (OVER_LIMIT).",
    );
  });

  test("an order beyond max_gross_notional is not made", async () => {
    const result = await run(bars, { limits: { max_gross_notional: "500" } });

    expect(traded(result)).toEqual([
      ["buy", 5, 100],
      ["sell", 4, 100],
    ]);
  });
});

test("a target with a drift is made up for once the limits of the account allow it, any other when it changes", async () => {
  // 7 units at first; the 8th is above the limit until the price has fallen.
  const bars = closes([100, 100, 100, 90, 90], [0.7, 0.8, 0.8, 0.8, 0.8]);
  const account = { limits: { max_gross_notional: "750" } };

  const kept = await run(bars, account);
  const drifting = await run(bars, account, {}, { drift: 0.3 });

  expect(traded(kept)).toEqual([["buy", 7, 100]]);
  expect(traded(drifting)).toEqual([
    ["buy", 7, 100],
    ["buy", 1, 90],
  ]);
  expect(refused(drifting)).toEqual([
    [1, "OVER_LIMIT"],
    [1, "OVER_LIMIT"],
  ]);
});

describe("prices of 0 and below", () => {
  test("an exit decided at a price below 0 fills at the next open, below 0 as well", async () => {
    const bars = barsOf([
      [20, 21, 17, 18.27, 0.25],
      [17.7, 17.9, -40.3, -37.63, 0],
      [-14, 13.9, -16.7, 10.01, 0],
      [11, 14, 10, 13.78, 0],
    ]);
    const result = await run(bars, { leverage_max: 4 });

    expect(traded(result)).toEqual([
      ["buy", 13, 17.7],
      ["sell", 13, -14],
    ]);
    const cash = 1_000 - 13 * 17.7;
    expectLedger(result, [1_000, cash - 13 * 37.63, cash - 13 * 14, cash - 13 * 14]);
  });

  test("the half spread of a sale below 0 costs, too", async () => {
    const bars = barsOf([
      [20, 20, 20, 20, 0.2],
      [20, 20, -10, -10, 0],
      [-10, -10, -10, -10, 0],
    ]);
    const result = await run(bars, { half_spread_bps: 100 });

    expect(traded(result)[1]).toEqual(["sell", 10, -10.1]);
  });

  test("nothing is opened at a price of 0 or below, and the run says so", async () => {
    const decided = await run(closes([20, -5, -5, 5, 5], [0, 0.5, 0.5, 0.5, 0.4]));
    expect(traded(decided)).toEqual([]);
    expect(refused(decided)).toEqual([[0, "MARK_INVALID"]]);

    const bars = barsOf([
      [20, 20, 20, 20, 0.1],
      [-5, 5, -5, 5, 0.1],
      [5, 5, 5, 5, 0.1],
    ]);
    const filled = await run(bars);
    expect(traded(filled)).toEqual([]);
    expect(refused(filled)).toEqual([[5, "MARK_INVALID"]]);
    expect(filled.notes.join("\n")).toContain(
      "Nothing was opened in X at a price of 0 or less once, at the bar ending 2020-01-03 (MARK_INVALID).",
    );
  });

  test("a target of the other side closes what is held at a price below 0, and opens nothing", async () => {
    const bars = barsOf([
      [20, 20, 20, 20, 0.2],
      [20, 20, -3, -3, -0.2],
      [-2, 3, -2, 3, -0.2],
      [3, 3, 3, 3, -0.2],
    ]);
    const result = await run(bars);

    expect(traded(result)).toEqual([
      ["buy", 10, 20],
      ["sell", 10, -2],
    ]);
  });
});

describe("sizes and prices at the ends of the scale, against an independent ledger", () => {
  const costs = { initial_cash: "1000000", fee_bps: 1, half_spread_bps: 1 };
  /** Costs of one side, as a share of the notional, beside the price across the spread. */
  const bp = 1e-4;

  test("prices of 1e-8", async () => {
    const rows: Row[] = [
      [2e-8, 3e-8, 1e-8, 2e-8, 1],
      [2e-8, 4e-8, 1e-8, 3e-8, 1],
      [3e-8, 4e-8, 0, 1e-8, 0],
      [1e-8, 5e-8, 0, 4e-8, 0],
    ];
    const result = await run(barsOf(rows), costs, { tick: "0.00000001" });
    const lots = 50_000_000_000_000;
    const cash = 1e6 - lots * 2e-8 * (1 + bp) - lots * 2e-8 * bp;
    const out = cash + lots * 1e-8 * (1 - bp) - lots * 1e-8 * bp;
    expect(traded(result).map(([, quantity]) => quantity)).toEqual([lots, lots]);
    expectLedger(result, [1e6, cash + lots * 3e-8, cash + lots * 1e-8, out]);
  });

  test("prices of 6e8, in lots of 1e-8", async () => {
    const rows: Row[] = [
      [6e8, 6e8, 6e8, 6e8, 1],
      [6e8, 6.1e8, 6e8, 6.1e8, 1],
      [6.1e8, 6.1e8, 5.9e8, 5.9e8, 1],
    ];
    const result = await run(barsOf(rows), costs, { lot: "0.00000001" });
    const units = 166_666 / 1e8;
    const cash = 1e6 - units * 6e8 * (1 + bp) - units * 6e8 * bp;
    expect(traded(result).map(([, quantity]) => quantity)).toEqual([0.00166666]);
    expectLedger(result, [1e6, cash + units * 6.1e8, cash + units * 5.9e8]);
  });

  test("cash of 0.3 buys three lots at 0.1", async () => {
    const bars = closes([0.1, 0.1, 0.1], [1, 1, 1]);
    const result = await run(bars, { initial_cash: "0.3" });

    expect(traded(result)).toEqual([["buy", 3, 0.1]]);
    expectLedger(result, [0.3, 0.3, 0.3]);
  });

  test("a contract of 50 times its price", async () => {
    const rows: Row[] = [
      [4_000, 4_001, 3_999, 4_000, 1],
      [4_000, 4_011, 3_999, 4_010, 1],
      [4_010, 4_011, 3_989, 3_990, 1],
    ];
    const result = await run(barsOf(rows), costs, { multiplier: "50" });
    const worth = 5 * 50;
    const cash = 1e6 - worth * 4_000 * (1 + bp) - worth * 4_000 * bp;
    expect(traded(result).map(([, quantity]) => quantity)).toEqual([5]);
    expectLedger(result, [1e6, cash + worth * 4_010, cash + worth * 3_990]);
  });
});
