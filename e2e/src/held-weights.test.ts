import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { loadConfig, Runner, type Strategy } from "@qmtl/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type CommandEvent,
  type LongCommand,
  QmtlCommand,
} from "../../examples/demo/src/qmtl-command.ts";
import { type Stack, startStack } from "./harness/start-stack.ts";

const dayMs = 86_400_000;
const firstDay = Date.UTC(2020, 0, 1);
/** Rows before the feed begins, the row at whose end the gate opens, and the last row. */
const historyRows = 120;
const openRow = historyRows + 3;
const lastRow = historyRows + 60;
const dateOf = (row: number): string => new Date(firstDay + row * dayMs).toISOString().slice(0, 10);

// Half of the capital long in X and three tenths short in Y, which have one price: both weights stray as it moves.
const STRATEGY = `
import { column, ProcessingNode, Strategy, StreamInput, WeightTargetNode } from "@qmtl/sdk";

export class Held extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const columns = ["open", "high", "low", "close"];
    const close = column(new StreamInput({ source: "day", columns, interval: "1d" }), "close");
    for (const [instrument, weight, rebalance] of [
      ["X", 0.5, { every: "1w", drift: 0.03 }],
      ["Y", -0.3, { drift: 0.02 }],
    ] as const) {
      const signal = new ProcessingNode({
        name: "weight of " + instrument,
        inputs: { close },
        period: 1,
        params: { weight },
        compute: (_, params) => params.weight,
      });
      this.addNodes([new WeightTargetNode({ signal, instrument, rebalance })]);
    }
  }
}
`;

const CONFIG = [
  `sources: {day: {adapter: csv-replay, file: day.csv, interval: 1d, start: ${dateOf(historyRows)}, until: start}}`,
  "instruments:",
  '  X: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: day}',
  '  Y: {venue: paper, tick: "0.01", lot: "1", quote_currency: USD, mark_source: day}',
  "accounts:",
  '  main: {broker: paper, currency: USD, initial_cash: "1000000", fee_bps: 2, half_spread_bps: 1, instruments: [X, Y]}',
].join("\n");

const POLICY = `
metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 20
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;

/** Closes that wander by up to 3 % a day. */
function bars(): string {
  let state = 7;
  let close = 100;
  const lines = Array.from({ length: lastRow + 2 }, (_, row) => {
    const open = close;
    state = (state * 16_807) % 2_147_483_647;
    close = Math.round(open * (97 + (state % 601) / 100)) / 100;
    return [dateOf(row), open, Math.max(open, close), Math.min(open, close), close].join(",");
  });
  return `date,open,high,low,close\n${lines.join("\n")}\n`;
}

let stack: Stack;
let qmtl: QmtlCommand;

beforeAll(async () => {
  stack = await startStack({ config: CONFIG });
  await writeFile(join(stack.folder, "day.csv"), bars());
  await writeFile(join(stack.folder, "held.ts"), STRATEGY);
  await writeFile(join(stack.folder, "policy.yml"), POLICY);
  const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
  await symlink(modules, join(stack.folder, "node_modules"));
  qmtl = new QmtlCommand(stack.configFile, stack.folder);
}, 300_000);
afterAll(() => stack?.[Symbol.asyncDispose]());

const call = <T = CommandEvent>(...args: string[]): Promise<T> =>
  qmtl.one<T>("--gateway-url", stack.gatewayUrl, ...args);
const advance = (row: number): Promise<unknown> =>
  call("queues", "advance", "day", "--to", dateOf(row), "--wait");

function start(record: string): LongCommand {
  const run = ["run", "held.ts", "--world", "w", "--record", record];
  return qmtl.start(["--gateway-url", stack.gatewayUrl, ...run]);
}

const isOpen = ({ event }: CommandEvent): boolean => event === "gate_opened";

/** Paper from `openRow` on, through a restart of the runner and a crash of the platform. */
async function trade(): Promise<void> {
  const world = ["--clock", "replay", "--source", "day", "--account", "main"];
  await call("world", "create", "w", ...world, "--allocation", "1");
  await call("policy", "add", "w", "policy.yml");
  const first = start("first.jsonl");
  try {
    const submitted = await first.waitFor("it was submitted", ({ event }) => event === "submitted");
    const id = /^s-[0-9a-f]{16}/.exec(String(submitted.message))?.[0] ?? "";
    await call("rebalance", "allocate", "--world", `w=1:${id}=1`, "--run", "start");
    await call("world", "apply", "w", "--run", "watch", "--to", "compute-only");
    await advance(openRow);
    await call("world", "apply", "w", "--run", "trade", "--to", "paper");
    await first.waitFor("its gate opened", isOpen);
    await advance(historyRows + 20);
  } finally {
    await first.end();
  }
  const second = start("second.jsonl");
  try {
    await second.waitFor("its gate opened", isOpen);
    await advance(historyRows + 40);
    await stack.restart();
    await advance(lastRow);
  } finally {
    await second.end();
  }
}

/** Orders of the world, as instrument, end of bucket and signed quantity. */
async function paperOrders(): Promise<string[]> {
  await using connection = stack.connect();
  const client = connection.client(OrderService);
  const { orders } = await client.listOrders({ filter: { worldId: "w" }, pageSize: 1_000 });
  return orders
    .toReversed()
    .map(({ instrument, quantity, bucketEndTime }) =>
      text(instrument, timestampMs(bucketEndTime!), Number(quantity!.value)),
    )
    .sort();
}

const text = (instrument: string, endMs: number, quantity: number): string =>
  `${new Date(endMs).toISOString().slice(0, 10)} ${instrument} ${quantity}`;

test("weights held each week and by drift trade on paper what they do in a backtest, through a restart and a crash", async () => {
  await trade();
  const traded = await paperOrders();

  const module = pathToFileURL(join(stack.folder, "held.ts")).href;
  const { Held } = (await import(module)) as { Held: new () => Strategy };
  const { orders } = await Runner.offline(Held, {
    config: loadConfig({ path: stack.configFile, env: {} }),
    module,
    from: dateOf(openRow),
    until: dateOf(lastRow),
  });
  const lots = { X: 0.1, Y: 1 } as Readonly<Record<string, number>>;
  const wanted = orders
    .map(({ instrument, bucket, lots: count }) =>
      text(
        instrument,
        firstDay + (bucket + 1) * dayMs,
        Number((count * lots[instrument]!).toFixed(6)),
      ),
    )
    .sort();

  expect(traded.length).toBeGreaterThan(10);
  expect(traded).toEqual(wanted);
}, 300_000);

test("both recorded sessions make the same orders again, offline", async () => {
  await stack.kill();

  for (const record of ["first.jsonl", "second.jsonl"]) {
    const outcome = await qmtl.one("replay", "held.ts", join(stack.folder, record));
    expect(outcome).toMatchObject({ identical: true, differences: [] });
    expect(outcome.total).toBeGreaterThan(5);
  }
}, 120_000);
