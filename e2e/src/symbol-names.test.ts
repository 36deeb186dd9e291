import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandEvent, QmtlCommand } from "../../examples/demo/src/qmtl-command.ts";
import { type Stack, startStack } from "./harness/start-stack.ts";

const dateOf = (row: number): string => new Date(Date.UTC(2010, row, 1)).toISOString().slice(0, 10);
/** Months before the feed begins, and months that it replays. */
const historyRows = 30;
const feedRows = 12;
const openOf = (row: number): number => 100 + ((row * 5) % 7);

/** Symbols as exchanges and vendors write them; the first keeps its zeros without quotes. */
const symbols = ["005930", "BTC/USDT", "^GSPC", "BRK B", "삼성전자", "ES=F|<1>"];

const STRATEGY = `
import { column, ProcessingNode, Strategy, StreamInput, WeightTargetNode } from "@qmtl/sdk";

export class Symbols extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source: "month", columns, instrument: "005930", interval: "1mo" });
    const inputs = { close: column(bars, "close") };
    const signal = new ProcessingNode({ name: "share", inputs, period: 1, compute: (x) => (x.close.latest() > 0 ? 0.1 : 0) });
    this.addNodes(${JSON.stringify(symbols)}.map((instrument) => new WeightTargetNode({ signal, instrument })));
  }
}
`;

const POLICY = `
metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 2
max_lag: 62d
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;

const keyOf = (symbol: string): string => (symbol === "005930" ? symbol : JSON.stringify(symbol));

interface Listed {
  readonly instrument: string;
  readonly state?: string;
  readonly row?: string;
  readonly bucket_end_time?: string;
  readonly average_price?: { readonly value: string };
  readonly quantity?: { readonly value: string };
}

const namesOf = (list: readonly Listed[]): string[] =>
  [...new Set(list.map(({ instrument }) => instrument))].toSorted();
const why = ["--reason", "a transfer"];

describe("any printable symbol is traded, on monthly bars, in a backtest and in a world", () => {
  let stack: Stack;
  let qmtl: QmtlCommand;

  beforeAll(async () => {
    stack = await startStack({
      config: [
        `sources: {month: {file: month.csv, interval: 1mo, start: ${dateOf(historyRows)}, until: start}}`,
        "instruments:",
        ...symbols.map((symbol) => `  ${keyOf(symbol)}: {lot: "0.1", mark_source: month}`),
        `accounts: {main: {initial_cash: "1000000", instruments: ${JSON.stringify(symbols)}}}`,
      ].join("\n"),
    });
    const { folder } = stack;
    const lines = Array.from({ length: historyRows + feedRows }, (_, row) => {
      const [open, close] = [openOf(row), openOf(row + 1)];
      return [dateOf(row), open, Math.max(open, close), Math.min(open, close), close].join(",");
    });
    await writeFile(join(folder, "month.csv"), `date,open,high,low,close\n${lines.join("\n")}\n`);
    await writeFile(join(folder, "symbols.ts"), STRATEGY);
    await writeFile(join(folder, "policy.yml"), POLICY);
    await symlink(
      fileURLToPath(new URL("../../node_modules", import.meta.url)),
      join(folder, "node_modules"),
    );
    qmtl = new QmtlCommand(stack.configFile, folder);
  }, 300_000);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const call = <T = CommandEvent>(...args: string[]): Promise<T> =>
    qmtl.one<T>("--gateway-url", stack.gatewayUrl, ...args);
  /** Lets the bars pass that end by the first day of a row. */
  const advance = (row: number): Promise<unknown> =>
    call("queues", "advance", "month", "--to", `${dateOf(row)}T00:00:00Z`, "--wait");

  test("offline, with its own name in results and report", async () => {
    const found = await qmtl.one<{
      instruments: { instrument: string; fills: number }[];
      fill_list: { instrument: string }[];
    }>("run", "symbols.ts", "--report", "report.html");

    const filled = found.instruments.filter(({ fills }) => fills === 1);
    expect(filled.map(({ instrument }) => instrument)).toEqual(symbols.toSorted());
    expect(new Set(found.fill_list.map(({ instrument }) => instrument))).toEqual(new Set(symbols));
    const report = await readFile(join(stack.folder, "report.html"), "utf8");
    expect(report).toContain("ES=F|&lt;1&gt;");
    expect(report).not.toContain("ES=F|<1>");
  });

  test("online, in targets, orders, positions and adjustments", async () => {
    const world = ["--clock", "replay", "--source", "month", "--account", "main"];
    await call("world", "create", "w", ...world, "--allocation", "0.8");
    await call("policy", "add", "w", "policy.yml");
    const run = ["--gateway-url", stack.gatewayUrl, "run", "symbols.ts", "--world", "w"];
    const runner = qmtl.start(run);
    await runner.waitFor("it was submitted", ({ event }) => event === "submitted");
    await call("world", "apply", "w", "--run", "watch", "--to", "compute-only");
    await advance(historyRows + 2);
    await call("world", "apply", "w", "--run", "trade", "--to", "paper");
    await runner.waitFor("its gate opened", ({ event }) => event === "gate_opened");
    await advance(historyRows + 6);
    const orders = await call<Listed[]>("orders", "list", "--world", "w");
    const { positions } = await call<{ positions: Listed[] }>("positions", "--account", "main");
    await call("account", "adjust", "main", "--instrument", "BTC/USDT", "--quantity", "1", ...why);
    const held = await call<{ positions: Listed[] }>("positions", "--account", "main");
    await runner.end("SIGINT");

    expect(orders).toHaveLength(symbols.length);
    expect(namesOf(orders)).toEqual(symbols.toSorted());
    expect(namesOf(positions)).toEqual(symbols.toSorted());
    // Decided when month 31 was over, filled at the open of month 32, 1 bp of spread paid.
    for (const order of orders) {
      expect(order).toMatchObject({ state: "ORDER_STATE_FILLED", row: "31" });
      expect(order.bucket_end_time).toBe(`${dateOf(historyRows + 2)}T00:00:00Z`);
      expect(Number(order.average_price?.value)).toBeCloseTo(openOf(32) * 1.0001, 9);
    }
    const quantity = (list: readonly Listed[]): number =>
      list
        .filter(({ instrument }) => instrument === "BTC/USDT")
        .reduce((sum, one) => sum + Number(one.quantity?.value), 0);
    // It counts in the total of the account, and in what belongs to no strategy.
    expect(quantity(held.positions) - quantity(positions)).toBeCloseTo(2, 9);
  }, 300_000);
});
