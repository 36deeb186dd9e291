import {
  ComputeError,
  column,
  offlineSummary,
  PositionTargetNode,
  ProcessingNode,
  Strategy,
  type StrategyNode,
  StreamInput,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { type BuiltBars, barsOfCloses, randomWalkBars, runOnBars } from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";

abstract class OneSignal extends Strategy {
  static readonly module = import.meta.url;
  readonly thresholds = { longEnter: 0.5, longExit: 0 };

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source: "x", columns, interval: this.interval });
    const close = column(bars, "close");
    const { thresholds } = this;
    this.addNodes([
      new PositionTargetNode({ signal: this.signal(close), instrument: "X", thresholds }),
    ]);
  }
  abstract signal(close: StrategyNode): StrategyNode;
  get interval(): string {
    return "1d";
  }
}

class Rising extends OneSignal {
  signal(close: StrategyNode): StrategyNode {
    return new ProcessingNode({
      name: "rise",
      inputs: { close },
      period: 4,
      compute: (windows) => (windows.close.latest() > windows.close.latest(3) ? 1 : -1),
    });
  }
}
class Never extends OneSignal {
  signal(close: StrategyNode): StrategyNode {
    const compute = () => 1;
    return new ProcessingNode({ name: "late", inputs: { close }, period: 5_000, compute });
  }
}
class Small extends OneSignal {
  signal(close: StrategyNode): StrategyNode {
    const inputs = { close };
    return new ProcessingNode({
      ...{ name: "small", inputs, period: 1 },
      compute: (windows) => windows.close.latest() / 1_000,
    });
  }
}
class Minutes extends Rising {
  override get interval(): string {
    return "1m";
  }
}
class Throwing extends OneSignal {
  signal(close: StrategyNode): StrategyNode {
    return new ProcessingNode({
      ...{ name: "boom", inputs: { close }, period: 1 },
      compute: () => {
        throw new Error("kaboom");
      },
    });
  }
}

const walk = randomWalkBars({ count: 60, seed: 3 });
const summary = async (...[strategy, bars, options]: Parameters<typeof runOnBars>) =>
  offlineSummary(await runOnBars(strategy, bars, options));
const lineOf = (lines: readonly string[], name: string) =>
  lines.find((line) => line.startsWith(`  ${name} `)) ?? "";

/** The same bars with one value of a column replaced. */
function withValue(bars: BuiltBars, name: string, row: number, value: number): BuiltBars {
  const values = bars.columns.get(name)!.slice();
  values[row] = value;
  return { ...bars, columns: new Map([...bars.columns, [name, values]]) };
}

describe("the summary of an offline run", () => {
  test("tells every figure with its unit, and buy and hold beside it", async () => {
    const lines = await summary(Rising, walk, { periodsPerYear: 365 });

    expect(lines[0]).toMatch(/^Rising: 59 returns, \d+ orders$/);
    expect(lineOf(lines, "sharpe")).toMatch(/ -?[\d.]+ +a year of 365 bars, zero rate$/);
    expect(lineOf(lines, "sharpe_per_bar")).toMatch(/ per bar of 1d, not annualised$/);
    expect(lineOf(lines, "cagr")).toMatch(/ -?[\d.]+ % in a year of 365 bars$/);
    expect(lineOf(lines, "turnover")).toMatch(/ times the equity in a year of 365 bars$/);
    expect(lineOf(lines, "buy and hold")).toMatch(/sharpe -?[\d.]+, cagr -?[\d.]+, total_return/);
    expect(lineOf(lines, "equity")).toMatch(/1000000\.00 → [\d.]+ USD; paid [\d.]+ of fees/);
    expect(lines.join()).toContain(
      'The signal "rise" of X has its first value on row 4 of 60: "rise" needs 4 rows.',
    );
  });

  test("rounds the number of bars a year has", async () => {
    const lines = await summary(Rising, walk, { periodsPerYear: 365.25 / 7 });

    expect(lineOf(lines, "sharpe")).toContain("a year of 52.1786 bars");
  });

  test("says why a figure has no value", async () => {
    const flat = await summary(Small, walk, { periodsPerYear: 365 });
    const one = await summary(Rising, barsOfCloses([100]));

    expect(lineOf(flat, "sharpe")).toMatch(/ none: no return differs from 0$/);
    expect(lineOf(one, "sharpe")).toMatch(
      / none: there is no return, the first one takes two bars$/,
    );
  });

  test("says why there is no order: no value, no threshold reached, no lot", async () => {
    const never = await summary(Never, walk);
    const small = await summary(Small, walk);
    const dear = await summary(Rising, walk, { instruments: { X: { lot: "100000" } } });

    expect(never.join()).toContain(
      'No order: the signal "late" of X has no value on any of its 60',
    );
    expect(small.join()).toMatch(
      /the signal "small" of X lies between 0\.\d+ and 0\.\d+, never at longEnter 0\.5 or above\./,
    );
    expect(dear.join()).toMatch(/the target of X changed, but a lot of 100000 costs \d+ USD/);
  });

  test("says so when the bars come more often than a year is said to have", async () => {
    const bars = randomWalkBars({ count: 12_000, interval: "1m", volatility: 0.0001 });
    const lines = await summary(Minutes, bars);

    expect(lineOf(lines, "sharpe_per_bar")).toMatch(/ per bar of 1m, not annualised$/);
    expect(lines.join()).toContain(
      "assume 252 returns per year, but the run has about 526000 per year: set periods_per_year of source x",
    );
    const right = await summary(Minutes, bars, { periodsPerYear: 525_600 });
    expect(right.join()).not.toContain("periods_per_year");
  });

  test("says which bars are odd", async () => {
    const empty = withValue(walk, "open", 7, Number.NaN);
    const odd = withValue(withValue(empty, "close", 20, 0), "high", 30, 1);
    const lines = (await summary(Rising, odd)).join("\n");

    expect(lines).toMatch(
      /1 bar of X without an open: no order at the open fills there; the first is row 8, 2020-01-08/,
    );
    expect(lines).toMatch(/1 bar of X with an open or a close of 0 or less: .*2020-01-21/);
    expect(lines).toMatch(/2 bars of X with a high below or a low above .*2020-01-21/);
    expect((await summary(Rising, walk)).join()).not.toContain("bar of X");
    const shut = (await summary(Rising, withValue(walk, "close", 7, Number.NaN))).join("\n");
    expect(shut).toContain("1 bar of X without a close: the previous mark is kept;");
    expect(shut).not.toContain("without an open");
  });
});

test("a function that throws is told with its node, its row and its line", async () => {
  const error = await runOnBars(Throwing, walk).catch((cause: unknown) => cause);

  expect(error).toBeInstanceOf(ComputeError);
  expect(String(error)).toMatch(/node "boom" at row 0 .* failed: kaboom \(summary\.test\.ts:\d+\)/);
});
