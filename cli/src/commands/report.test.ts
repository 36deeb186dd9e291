import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "report-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(content: unknown, name = "in.json"): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

interface AlphaCase {
  readonly id: string;
  readonly input: {
    readonly returns: readonly (number | string)[];
    readonly risk_free_rate?: number;
    readonly transaction_cost?: number;
  };
  readonly expected: Readonly<Record<string, number | string>>;
}
const vectors: { cases: AlphaCase[] } = JSON.parse(
  readFileSync(new URL("../../../e2e/vectors/alpha.json", import.meta.url), "utf8"),
);

describe("the golden cases", () => {
  const cases = vectors.cases.filter(({ input }) => input.returns.every(Number.isFinite));
  test.each(cases)("$id", async ({ input, expected }) => {
    const { returns, risk_free_rate = 0, transaction_cost = 0 } = input;
    const rates = [`--risk-free=${risk_free_rate}`, `--transaction-cost=${transaction_cost}`];
    const from = ["report", "--from", write({ returns }), ...rates];

    const { exitCode, out } = await runInProcess(...from, "--out", "-", "--json");

    expect(exitCode).toBe(0);
    const { metrics, text } = JSON.parse(out[0]!);
    expect(metrics.samples).toBe(returns.length);
    for (const [name, value] of Object.entries(expected)) {
      if (value === "Infinity") {
        expect(metrics).not.toHaveProperty([name]);
        expect(text).toContain(`| ${name} | ∞ |`);
      } else {
        expect(metrics[name]).toBeCloseTo(Number(value), 9);
        expect(text).toContain(`| ${name} | ${Number(Number(value).toPrecision(6))} |`);
      }
    }
  });
});

test("the report is written where --out says, and printed with -", async () => {
  const out = join(folder, "out.md");
  const from = write({ strategy: "My | *Strategy*", returns: [0.01, -0.02, 0.03] });

  const written = await runInProcess("report", "--from", from, "--out", out);
  const printed = await runInProcess("report", "--from", from, "--out", "-");

  expect(written).toMatchObject({ exitCode: 0, out: [`report: ${out}`] });
  expect(readFileSync(out, "utf8")).toBe(`${printed.out.join("\n")}\n`);
  expect(printed.out.slice(0, 7)).toEqual([
    "# Performance of My \\| \\*Strategy\\*",
    "",
    "Risk-free rate 0 and transaction cost 0, both per bar.",
    "",
    "| Metric | Value | Meaning |",
    "|---|---:|---|",
    "| alpha_performance.sharpe | 0.324443 | mean excess return ÷ population standard deviation (n), per bar, not annualised; sharpe_per_bar of a run has the sample deviation (n − 1) |",
  ]);
});

test("the Sharpe ratio of a report is not the sharpe_per_bar of the run, and its meaning says by which deviation", async () => {
  const returns = [0.01, -0.02, 0.03];
  const printed = await runInProcess("report", "--from", write({ returns }), "--out", "-");
  const mean = returns.reduce((sum, value) => sum + value, 0) / 3;
  const squares = returns.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const row = printed.out.find((line) => line.includes("alpha_performance.sharpe |"));

  expect(row).toContain(`| ${(mean / Math.sqrt(squares / 3)).toFixed(6)} |`);
  expect(row).not.toContain(`| ${(mean / Math.sqrt(squares / 2)).toFixed(6)} |`);
  expect(row).toContain("population standard deviation (n)");
  expect(printed.out.join("\n")).toContain("| alpha_performance.sharpe ÷ largest drawdown |");
});

test("a list of returns that left nothing has no ratio, in text and in JSON", async () => {
  const from = write({ returns: [0.1, 0.2, -1, 0.3] });
  const printed = await runInProcess("report", "--from", from, "--out", "-");
  const { out } = await runInProcess("report", "--from", from, "--out", "-", "--json");

  expect(printed.out.join("\n")).toContain("| alpha_performance.sharpe | none: nothing was left |");
  expect(Object.keys(JSON.parse(out[0]!).metrics)).toEqual([
    "alpha_performance.max_drawdown",
    "samples",
  ]);
});

describe("input that does not hold ends with 2, names the field, and nothing is written", () => {
  test.each([
    ["no JSON", "returns: 1", "is not JSON"],
    ["a list", [1, 2], 'must hold an object with "returns"'],
    ["no returns", { sharpe: 1, n: 2 }, 'has no field "returns"; it has sharpe, n'],
    ["returns that are no list", { returns: "0.1" }, "returns must be a list of numbers"],
    ["no return at all", { returns: [] }, "returns is empty"],
    [
      "null and text",
      { returns: [1, null, "2", true] },
      "returns[1] is null, returns[2] is 2, returns[3] is true",
    ],
    [
      "NaN as other languages write it",
      '{"returns": [0.1, NaN,-Infinity]}',
      "returns[1] is NaN, returns[2] is -Infinity",
    ],
    [
      "an object in the list",
      { returns: [{}, [], 1, {}, {}] },
      "returns[0] is {}, returns[1] is [], returns[3] is {} and 1 more",
    ],
    ["a number beyond doubles", '{"returns": [1e999]}', "returns[0] is Infinity"],
  ])("%s", async (_what, content, message) => {
    const out = join(folder, "out.md");

    const { exitCode, err } = await runInProcess(
      "report",
      "--from",
      write(content),
      "--out",
      out,
      "--json",
    );

    expect(exitCode).toBe(2);
    expect(JSON.parse(err[0]!).error).toContain(message);
    expect(existsSync(out)).toBe(false);
  });

  test("a file that is not there, a folder, rates that are no numbers, a place that cannot be written", async () => {
    const from = write({ returns: [0.1] });
    mkdirSync(join(folder, "dir"));
    const cases: [string[], string][] = [
      [["--from", join(folder, "none.json")], "--from: "],
      [["--from", folder], "--from: "],
      [
        ["--from", from, "--risk-free", "x"],
        "--risk-free <rate>' argument 'x' is invalid. It takes a number",
      ],
      [["--from", from, "--transaction-cost", "Infinity"], "It takes a number"],
      [["--from", from, "--out", join(folder, "none", "out.md")], "none is no folder"],
      [["--from", from, "--out", join(folder, "dir")], "dir cannot be written"],
    ];
    for (const [args, message] of cases) {
      const { exitCode, err } = await runInProcess("report", ...args, "--json");
      expect({ exitCode, error: JSON.parse(err[0]!).error }).toEqual({
        exitCode: 2,
        error: expect.stringContaining(message),
      });
    }
  });
});

describe("an HTML report", () => {
  const run = {
    strategy: "Crosser",
    currency: "USD",
    no_costs: true,
    returns: [0.1, -0.05],
    times_ms: [86_400_000, 172_800_000, 259_200_000],
    equity: [100, null, 104.5],
    fill_list: [
      {
        time_ms: 86_400_000,
        instrument: "X",
        side: "sell",
        quantity: "1.5",
        price: 101,
        fee: 0.25,
      },
    ],
    notes: ["A <note>."],
  };

  test("is made of what an offline run prints", async () => {
    const out = join(folder, "out.html");

    const { exitCode } = await runInProcess("report", "--from", write(run), "--out", out);

    expect(exitCode).toBe(0);
    const html = readFileSync(out, "utf8");
    for (const text of [
      "Backtest of Crosser",
      "No costs",
      "alpha_performance.sharpe",
      "-1.5",
      "1 fills",
      "A &lt;note&gt;.",
    ])
      expect(html).toContain(text);
  });

  test("draws the exposure of a run that tells it", async () => {
    const out = join(folder, "exposed.html");
    const exposure = { gross: [0, 1, 0.75], net: [0, 1, 0.25], largest_weight: [0, 1, 0.5] };

    await runInProcess("report", "--from", write({ ...run, ...exposure }), "--out", out);
    const wrong = write({ ...run, ...exposure, net: [0] });
    const { err } = await runInProcess("report", "--from", wrong, "--out", out, "--json");

    expect(readFileSync(out, "utf8")).toContain("largest weight</span>");
    expect(JSON.parse(err[0]!).error).toContain("times_ms has 3 values, net 1");
  });

  test("is refused for a file that lacks what it shows", async () => {
    const out = join(folder, "out.html");
    const { times_ms: _, ...timeless } = run;
    const cases: [unknown, string][] = [
      [{ returns: [0.1] }, "needs strategy, currency, times_ms, equity, fill_list"],
      [timeless, "needs times_ms"],
      [{ ...run, equity: [1, 2] }, "times_ms has 3 values, equity 2"],
      [{ ...run, fill_list: [{ time_ms: 1 }] }, "fill_list[0] has no instrument"],
    ];
    for (const [content, message] of cases) {
      const args = ["--from", write(content), "--out", out, "--json"];
      const { exitCode, err } = await runInProcess("report", ...args);
      expect({ exitCode, error: JSON.parse(err[0]!).error }).toEqual({
        exitCode: 2,
        error: expect.stringContaining(message),
      });
    }
    expect(existsSync(out)).toBe(false);
  });
});
