import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type CommandEvent,
  type CommandRefused,
  type LongCommand,
  QmtlCommand,
} from "../../examples/demo/src/qmtl-command.ts";
import { waitFor } from "./crash/wait-for.ts";
import { type Stack, startStack } from "./harness/start-stack.ts";

const dayMs = 86_400_000;
const firstDay = Date.UTC(2020, 0, 1);
/** Rows before the feed begins, and the last row. */
const historyRows = 60;
const lastRow = historyRows + 45;
const openRow = historyRows + 3;
/** Row at which the fragile strategy throws, and at which the worker is killed. */
const faultRow = historyRows + 12;
const killRow = historyRows + 25;
const dateOf = (row: number): string => new Date(firstDay + row * dayMs).toISOString().slice(0, 10);
const closeOf = (row: number): number => 100 + ((row * 5) % 7) + row / 1_000;

/** A strategy that reverses with a mean that all of them have; one throws at a price. */
const strategyOf = (name: string, enter: number, fault?: number): string => `
import { column, PositionTargetNode, ProcessingNode, Strategy, StreamInput, sma } from "@qmtl/sdk";

export class ${name} extends Strategy {
  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const close = column(new StreamInput({ source: "day", columns, interval: "1d" }), "close");
    const mean = sma(close, 2);
    const signal = new ProcessingNode({
      name: "signal",
      inputs: { close, mean },
      period: 1,
      params: { enter: ${enter}, fault: ${fault ?? 0} },
      compute: (w, params) => {
        if (w.close.latest() === params.fault) throw new Error("a price that it does not like");
        return w.mean.latest() - params.enter;
      },
    });
    const thresholds = { longEnter: 0.5, longExit: 0, shortEnter: -0.5, shortExit: 0 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

const CONFIG = [
  `sources: {day: {adapter: csv-replay, file: day.csv, interval: 1d, start: ${dateOf(historyRows)}, until: start}}`,
  'instruments: {X: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: day}}',
  "accounts:",
  ...["main", "apart"].map(
    (name) =>
      `  ${name}: {broker: paper, currency: USD, initial_cash: "1000000", fee_bps: 2, half_spread_bps: 1, instruments: [X]}`,
  ),
].join("\n");

const POLICY = `
metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 5
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;

function bars(): string {
  const lines = Array.from({ length: lastRow + 1 }, (_, row) => {
    const [open, close] = [closeOf(Math.max(0, row - 1)), closeOf(row)];
    return [dateOf(row), open, Math.max(open, close), Math.min(open, close), close].join(",");
  });
  return `date,open,high,low,close\n${lines.join("\n")}\n`;
}

let stack: Stack;
let qmtl: QmtlCommand;

beforeAll(async () => {
  stack = await startStack({ config: CONFIG });
  const files = {
    "day.csv": bars(),
    "policy.yml": POLICY,
    "low.ts": strategyOf("Low", 102),
    "high.ts": strategyOf("High", 104),
    "fragile.ts": strategyOf("Fragile", 103, closeOf(faultRow)),
    "broken.ts": "export const x = ;\n",
    "again.ts": strategyOf("Low", 101),
    "two.ts": strategyOf("Up", 101) + strategyOf("Down", 105).replace(/^import.*$/m, ""),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(stack.folder, name), text);
  const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
  await symlink(modules, join(stack.folder, "node_modules"));
  qmtl = new QmtlCommand(stack.configFile, stack.folder);
}, 300_000);
afterAll(() => stack?.[Symbol.asyncDispose]());

const call = <T = CommandEvent>(...args: string[]): Promise<T> =>
  qmtl.one<T>("--gateway-url", stack.gatewayUrl, ...args);
const advance = (row: number): Promise<unknown> =>
  call("queues", "advance", "day", "--to", dateOf(row), "--wait");
const start = (...args: string[]): LongCommand =>
  qmtl.start(["--gateway-url", stack.gatewayUrl, ...args]);
const work = (...files: string[]): LongCommand => start("worker", ...files, "--world", "w");

async function createWorld(world: string, account: string): Promise<void> {
  const settings = ["--clock", "replay", "--source", "day", "--account", account];
  await call("world", "create", world, ...settings, "--allocation", "1");
  await call("policy", "add", world, "policy.yml");
}

async function promote(world: string, to: "compute-only" | "paper"): Promise<void> {
  await call("world", "apply", world, "--run", `${world}-${to}`, "--to", to);
}

interface ListedOrder {
  readonly strategy_id: string;
  readonly quantity: { readonly value: string };
  readonly average_price?: { readonly value: string };
}

async function ordersOf(world: string): Promise<string[]> {
  const orders = await call<ListedOrder[]>("orders", "list", "--world", world);
  return orders.map(
    (one) => `${one.strategy_id} ${one.quantity.value} ${one.average_price?.value}`,
  );
}

const isOf =
  (kind: string, strategy?: string) =>
  (event: CommandEvent): boolean =>
    event.event === kind && event.strategy === strategy;

/** Ids of the strategies of a worker, once all are submitted. */
async function submittedBy(worker: LongCommand, names: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const name of names) {
    const { message } = await worker.waitFor(`${name} is submitted`, isOf("submitted", name));
    ids.push(/^s-[0-9a-f]{16}/.exec(String(message))?.[0] ?? "");
  }
  return ids;
}

/** Waits until the router knows that a worker is the one that sends orders of these strategies. */
async function routedTo(worker: LongCommand, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { session_id } = await worker.waitFor(`${name} is submitted`, isOf("submitted", name));
    await waitFor(`orders of ${name} come from the worker`, async () => {
      const { emitter_session_id } = await call("explain", "w", name);
      return emitter_session_id === session_id || undefined;
    });
  }
}

const refusalOf = (...args: string[]): Promise<CommandRefused> =>
  call(...args).then(
    (answer) => {
      throw new Error(`it was not refused: ${JSON.stringify(answer)}`);
    },
    (failure: CommandRefused) => failure,
  );

describe("qmtl worker", () => {
  test("refuses a file that does not load, an unknown export and two strategies of one name, and submits nothing", async () => {
    await createWorld("w", "main");

    const broken = await refusalOf("worker", "low.ts", "broken.ts", "--world", "w");
    const unknown = await refusalOf("worker", "low.ts", "two.ts#Sideways", "--world", "w");
    const several = await refusalOf("worker", "low.ts", "two.ts", "--world", "w");
    const twice = await refusalOf("worker", "low.ts", "high.ts", "again.ts", "--world", "w");

    expect(broken).toMatchObject({ exitCode: 2, output: expect.stringContaining("broken.ts") });
    expect(unknown.output).toContain('two.ts exports no strategy class \\"Sideways\\"');
    expect(several.output).toContain("STRATEGY_AMBIGUOUS");
    expect(twice).toMatchObject({
      exitCode: 2,
      output: expect.stringContaining('two strategies are named \\"Low\\"'),
    });
    expect(await call("world", "bindings", "w")).toEqual([]);
  }, 120_000);

  test("orders what processes of their own do, through a strategy that throws and kill -9", async () => {
    const names = ["Low", "Fragile", "High"];
    await createWorld("v", "apart");
    const apart = ["low.ts", "high.ts"].map((file) => start("run", file, "--world", "v"));
    for (const run of apart) await run.waitFor("it is submitted", isOf("submitted"));
    const first = work("low.ts", "fragile.ts", "high.ts");
    const ids = await submittedBy(first, names);
    const [low, fragile, high] = ids;
    for (const [world, own] of [
      ["w", ids],
      ["v", [low, high]],
    ] as const) {
      const shares = own.map((id) => `${id}=0.25`).join(",");
      await call("rebalance", "allocate", "--world", `${world}=1:${shares}`, "--run", world);
      await promote(world, "compute-only");
    }
    await advance(openRow);
    for (const world of ["w", "v"]) await promote(world, "paper");
    for (const name of names) await first.waitFor(`${name} is open`, isOf("gate_opened", name));
    for (const run of apart) await run.waitFor("it is open", isOf("gate_opened"));

    await advance(killRow);
    const out = first.events.filter(isOf("taken_out", "Fragile"));
    await first.end("SIGKILL");
    const second = work("low.ts", "high.ts");
    for (const name of ["Low", "High"])
      await second.waitFor(`${name} is open again`, isOf("gate_opened", name));
    await routedTo(second, ["Low", "High"]);
    await advance(lastRow - 2);
    await second.end("SIGTERM");
    for (const run of apart) await run.end();

    expect(out).toMatchObject([
      {
        message: expect.stringMatching(
          /node "signal" at row 72 .*a price that it does not like.*; the other strategies go on$/,
        ),
      },
    ]);
    expect(second.events.find(isOf("status"))).toMatchObject({
      strategies: [{ name: "Low" }, { name: "High" }],
    });
    expect(second.child.exitCode).toBe(0);
    const orders = await ordersOf("w");
    const ownOf = (id: string | undefined) => orders.filter((one) => one.startsWith(`${id} `));
    const others = orders.filter((one) => !one.startsWith(`${fragile} `));
    expect(others).toEqual(await ordersOf("v"));
    expect([low, high].every((id) => ownOf(id).length > 5)).toBe(true);
    expect(ownOf(fragile).length).toBeGreaterThan(0);
  }, 300_000);

  test("names what it took out when it ends, and ends with 1", async () => {
    const worker = start("worker", "high.ts", "fragile.ts", "--world", "w");
    await worker.waitFor("it is taken out", isOf("taken_out", "Fragile"));
    await worker.end("SIGTERM");

    expect(worker.child.exitCode).toBe(1);
    expect(worker.events.find(isOf("status"))).toMatchObject({
      strategies: [
        { name: "High" },
        { name: "Fragile", failure: expect.stringContaining("a price that it does not like") },
      ],
    });
  }, 120_000);
});
