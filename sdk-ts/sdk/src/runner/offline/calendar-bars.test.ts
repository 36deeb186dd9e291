import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig, type QmtlConfig } from "../../config/index.ts";
import type { BarSource } from "../../sources/index.ts";
import {
  column,
  ProcessingNode,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "../../strategy/index.ts";
import { Runner } from "../runner.ts";

const folder = mkdtempSync(join(tmpdir(), "calendar-bars-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Daily bars of a random walk; each opens at the previous close. */
const days = readFileSync(
  new URL("../../../../../e2e/vectors/weekly-lookahead.csv", import.meta.url),
  "utf8",
)
  .trim()
  .split("\n")
  .slice(1)
  .map((line) => line.split(",") as [string, string, string]);

/** The same market in longer bars, labelled by the start of each period. */
function barsOf(label: (day: string) => string): string {
  const bars = new Map<string, [open: string, close: string]>();
  for (const [date, open, close] of days) {
    const bar = bars.get(label(date));
    if (bar === undefined) bars.set(label(date), [open, close]);
    else bar[1] = close;
  }
  return `date,open,close\n${[...bars].map(([day, bar]) => `${day},${bar.join(",")}\n`).join("")}`;
}

const mondayOf = (date: string): string => {
  const ms = Date.parse(date);
  return new Date(ms - ((new Date(ms).getUTCDay() + 6) % 7) * 86_400_000)
    .toISOString()
    .slice(0, 10);
};
const daily = days.map(([date, open, close]) => [date, open, open, open, close].join(","));
writeFileSync(join(folder, "day.csv"), `date,open,high,low,close\n${daily.join("\n")}\n`);
writeFileSync(join(folder, "week.csv"), barsOf(mondayOf));
writeFileSync(
  join(folder, "month.csv"),
  barsOf((date) => `${date.slice(0, 7)}-01`),
);
writeFileSync(join(folder, "friday.csv"), barsOf(fridayOf));

/** The Friday before a day's week, as a label that says nothing of when the bar ends. */
function fridayOf(date: string): string {
  return new Date(Date.parse(mondayOf(date)) - 3 * 86_400_000).toISOString().slice(0, 10);
}

function configOf(file: string, interval: string, more = ""): QmtlConfig {
  const path = join(folder, "qmtl.yml");
  const slow = `slow: {file: ${file}.csv, interval: ${interval}${more}}`;
  writeFileSync(
    path,
    `sources:\n  day: {file: day.csv}\n  ${slow}\ninstruments:\n  S: {mark_source: day, lot: "0.001"}\n`,
  );
  return loadConfig({ path, env: {} });
}

/** Daily trades on the sign of the last slower bar of the same market. */
class SlowSign extends Strategy {
  static readonly module = import.meta.url;
  readonly #interval: string;

  constructor(interval: string) {
    super();
    this.#interval = interval;
  }

  override setup(): void {
    const day = new StreamInput({ source: "day", columns: ["close"], interval: "1d" });
    const slow = new StreamInput({
      source: "slow",
      columns: ["open", "close"],
      interval: this.#interval,
    });
    const inputs = {
      day: column(day, "close"),
      open: column(slow, "open"),
      close: column(slow, "close"),
    };
    const sign = new ProcessingNode({
      name: "sign",
      inputs,
      period: 1,
      compute: (x) => Math.sign(x.close.latest() - x.open.latest()),
    });
    this.addNodes([new WeightTargetNode({ signal: sign, instrument: "S" })]);
  }
}

async function figuresOf(file: string, interval: string, more = "") {
  const config = configOf(file, interval, more);
  const { metrics, equity } = await Runner.offline(new SlowSign(interval), {
    config,
    noCosts: true,
  });
  return { sharpe: metrics.get("sharpe")!, growth: equity.at(-1)! / equity[0]! };
}

/**
 * The same by hand: at the end of each day the whole equity follows the sign of the last bar whose period has ended.
 *
 * @param endOf end of the bar that is labelled with a day
 */
function growthByHand(label: (day: string) => string, endOf: (label: string) => number): number {
  const bars = barsOf(label).trim().split("\n").slice(1);
  const known = bars.map((line) => line.split(",") as [string, string, string]);
  const signAt = (ms: number): number => {
    const last = known.findLast(([day]) => endOf(day) <= ms);
    return last === undefined ? 0 : Math.sign(Number(last[2]) - Number(last[1]));
  };
  let [equity, units, held] = [1, 0, 0];
  for (let k = 0; k < days.length; k++) {
    const close = Number(days[k]![2]);
    if (k > 0) equity += units * (close - Number(days[k - 1]![2]));
    const sign = signAt(Date.parse(days[k]![0]) + 86_400_000);
    if (sign !== held) [units, held] = [(sign * equity) / close, sign];
  }
  return equity;
}

const weekMs = 7 * 86_400_000;

describe("a weekly bar's close is not known before its week is over", () => {
  test("weekly bars declared 1d, whose Friday close would be known on Tuesday, are refused", async () => {
    await expect(figuresOf("week", "1d")).rejects.toThrow("give interval: 1w");
  });

  test("of a market that rests at weekends it is known with Friday's close", async () => {
    const { sharpe, growth } = await figuresOf("week", "5d");

    expect(sharpe).toBeCloseTo(-0.24, 2);
    expect(Math.abs(growth - 0.74)).toBeLessThan(0.01);
    expect(growth).toBeCloseTo(
      growthByHand(mondayOf, (day) => Date.parse(day) + 5 * 86_400_000),
      2,
    );
  });

  test("otherwise when Sunday is over", async () => {
    const { growth } = await figuresOf("week", "1w");

    expect(growth).toBeCloseTo(
      growthByHand(mondayOf, (day) => Date.parse(day) + weekMs),
      2,
    );
    expect((await figuresOf("week", "7d")).growth).toBe(growth);
  });

  test("labelled by any other day, when the next one opens", async () => {
    await expect(figuresOf("friday", "1w")).rejects.toThrow("sparse: true");
    const { growth } = await figuresOf("friday", "1d", ", sparse: true");

    expect(growth).toBeCloseTo(
      growthByHand(fridayOf, (day) => Date.parse(day) + weekMs),
      2,
    );
  });
});

test("a monthly bar's close is known at the end of its month", async () => {
  const monthOf = (date: string) => `${date.slice(0, 7)}-01`;
  const endOf = (label: string) =>
    Date.UTC(Number(label.slice(0, 4)), Number(label.slice(5, 7)), 1);
  const { growth } = await figuresOf("month", "1mo");

  expect(growth).toBeCloseTo(growthByHand(monthOf, endOf), 3);
});

describe("a run until a day does not end later", () => {
  /** Four days of every week and its bars, in one account; the file of weeks has the four prices, too. */
  const rows = (every: number): string =>
    Array.from({ length: 364 / every }, (_, k) => {
      const day = new Date(Date.UTC(2024, 0, 1) + k * every * 86_400_000);
      return `${day.toISOString().slice(0, 10)},10,10,10,${10 + (k % 3)}\n`;
    }).join("");
  writeFileSync(join(folder, "days.csv"), `date,open,high,low,close\n${rows(1)}`);
  writeFileSync(join(folder, "weeks.csv"), `date,open,high,low,close\n${rows(7)}`);

  class Both extends Strategy {
    static readonly module = import.meta.url;
    readonly #weekly: string;
    constructor(weekly: string) {
      super();
      this.#weekly = weekly;
    }
    override setup(): void {
      for (const [source, interval] of [
        ["days", "1d"],
        ["weeks", this.#weekly],
      ] as const) {
        const bars = new StreamInput({ source, columns: ["close"], interval });
        const signal = column(bars, "close");
        const half = new ProcessingNode({
          name: `half ${source}`,
          inputs: { signal },
          period: 1,
          compute: () => 0.5,
        });
        this.addNodes([new WeightTargetNode({ signal: half, instrument: source })]);
      }
    }
  }

  const endOf = async (
    weekly: string,
    range: { readonly from?: string; readonly until?: string },
    start?: string,
  ) => {
    const path = join(folder, "both.yml");
    const more = start === undefined ? "" : `, start: ${start}`;
    writeFileSync(
      path,
      `sources:\n  days: {file: days.csv, interval: 1d${more}}\n  weeks: {file: weeks.csv, interval: ${weekly}${more}}\ninstruments:\n  days: {mark_source: days}\n  weeks: {mark_source: weeks}\n`,
    );
    const config = loadConfig({ path, env: {} });
    const result = await Runner.offline(new Both(weekly), { config, ...range });
    const bars = Object.fromEntries(result.instruments.map((one) => [one.instrument, one.bars]));
    return { end: new Date(result.timesMs.at(-1)!).toISOString(), ...bars };
  };

  // 2024-01-01 is a Monday.
  test.each([
    ["1w", "2024-02-05", "2024-02-06T00:00:00.000Z", 36, 5], // a Monday, on which a week opens
    ["1w", "2024-02-10", "2024-02-11T00:00:00.000Z", 41, 5], // a Saturday
    ["1w", "2024-02-11", "2024-02-12T00:00:00.000Z", 42, 6], // a Sunday, with which a week ends
    ["5d", "2024-02-08", "2024-02-09T00:00:00.000Z", 39, 5], // a Thursday
    ["5d", "2024-02-09", "2024-02-10T00:00:00.000Z", 40, 6], // a Friday, with which it ends here
    ["1w", "2024-02-12T00:00:00Z", "2024-02-12T00:00:00.000Z", 42, 6],
    ["1w", "2024-02-11T23:59:59Z", "2024-02-11T00:00:00.000Z", 41, 5],
  ])("bars of %s, until %s", async (weekly, until, end, days, weeks) => {
    expect(await endOf(weekly, { until })).toEqual({ end, days, weeks });
  });

  test("nor does a backtest go beyond the start of its feeds with a week that had begun before", async () => {
    expect(await endOf("1w", {}, "2024-02-07")).toEqual({
      ...{ end: "2024-02-07T00:00:00.000Z", days: 37, weeks: 5 },
    });
  });

  test("from a day the first week traded is the first that ends after it, as that of a world", async () => {
    expect(await endOf("1w", { from: "2024-02-07", until: "2024-02-25" })).toEqual({
      ...{ end: "2024-02-26T00:00:00.000Z", days: 19, weeks: 3 },
    });
  });
});

test("an author's source that states ends long before the next bar is refused", async () => {
  const openTimeMs = Float64Array.from({ length: 8 }, (_, k) => Date.UTC(2024, 0, 1) + k * weekMs);
  const values = openTimeMs.map((_, k) => 100 + k);
  const weekly = (bucketEndMs: Float64Array): BarSource => ({
    intervalMs: 86_400_000,
    schedule: "observed",
    load: async () => ({
      rows: 8,
      openTimeMs,
      bucketEndMs,
      columns: new Map(["open", "high", "low", "close"].map((name) => [name, values])),
    }),
    datasetFingerprint: async () => "blake3:x",
  });
  const run = (bars: BarSource, more = "") =>
    Runner.offline(new SlowSign("1d"), {
      config: configOf("week", "1d", more),
      sources: { slow: bars },
    });
  const early = weekly(openTimeMs.map((ms) => ms + 86_400_000));

  await expect(run(early)).rejects.toThrow("most bars end long before the next one opens");
  await expect(run(early, ", sparse: true")).resolves.toBeDefined();
  await expect(run(weekly(openTimeMs.map((ms) => ms + weekMs)))).resolves.toBeDefined();
});

test("monthly bars are annualised and named as such", async () => {
  const path = join(folder, "traded.yml");
  writeFileSync(
    path,
    `sources:\n  slow: {file: month.csv, interval: 1mo}\ninstruments:\n  S: {mark_source: slow}\n`,
  );
  writeFileSync(
    join(folder, "month.csv"),
    readFileSync(join(folder, "month.csv"), "utf8")
      .replace("date,open,close", "date,open,high,low,close")
      .replace(/^(\d[^,]*),([^,]*),(.*)$/gm, "$1,$2,$2,$2,$3"),
  );
  const { Runner: run, offlineSummary } = await import("../../index.ts");
  class Always extends Strategy {
    static readonly module = import.meta.url;
    override setup(): void {
      const bars = new StreamInput({
        source: "slow",
        columns: ["close"],
        interval: "1mo",
      });
      const one = new ProcessingNode({
        name: "one",
        inputs: { close: column(bars, "close") },
        period: 1,
        compute: (x) => (x.close.latest() > 0 ? 1 : 0),
      });
      this.addNodes([new WeightTargetNode({ signal: one, instrument: "S" })]);
    }
  }
  const result = await run.offline(new Always(), { config: loadConfig({ path, env: {} }) });

  expect(offlineSummary(result).join("\n")).toContain("per bar of 1mo, not annualised");
  expect(result.notes.join("\n")).not.toContain("Annualised figures assume");
});
