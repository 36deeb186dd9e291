import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LongCommand, QmtlCommand } from "../../examples/demo/src/qmtl-command.ts";
import { type Stack, startStack } from "./harness/start-stack.ts";

const dayMs = 86_400_000;
const firstDay = Date.UTC(2020, 0, 1);
/** Rows before the feeds begin, and rows that each feed replays. */
const historyRows = 70;
const feedRows = 12;

const feeder = (source: string): string => `
import { ema, PositionTargetNode, Strategy, StreamInput } from "@qmtl/sdk";

export class Feeder${source} extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const close = new StreamInput({ source: "${source}", columns: ["close"], tags: ["crypto"], interval: "1d" });
    const thresholds = { longEnter: 1_000 };
    this.addNodes([new PositionTargetNode({ signal: ema(close, 5), instrument: "X", thresholds })]);
  }
}
`;

const ASKER = `
import { PositionTargetNode, Strategy, TagQueryNode } from "@qmtl/sdk";

export class Asker extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const sum = new TagQueryNode({
      queryTags: ["crypto"],
      interval: "1d",
      period: 1,
      compute: (windows) => windows.reduce((total, window) => total + window.latest(), 0),
    });
    const thresholds = { longEnter: 150, longExit: 150 };
    this.addNodes([new PositionTargetNode({ signal: sum, instrument: "X", thresholds })]);
  }
}
`;

const dateOf = (row: number): string => new Date(firstDay + row * dayMs).toISOString().slice(0, 10);

/** Bars around 100, never 150. */
function bars(): string {
  const rows = Array.from({ length: historyRows + feedRows }, (_, row) => {
    const close = 100 + ((row * 5) % 7);
    return [dateOf(row), close, close + 1, close - 1, close].join(",");
  });
  return `date,open,high,low,close\n${rows.join("\n")}\n`;
}

describe("a tag query on the platform", () => {
  let stack: Stack;
  let qmtl: QmtlCommand;
  const running: LongCommand[] = [];

  beforeAll(async () => {
    const source = (file: string) =>
      `{adapter: csv-replay, file: ${file}, interval: 1d, start: ${dateOf(historyRows)}, until: start}`;
    const config = [
      `sources: {A: ${source("a.csv")}, B: ${source("b.csv")}}`,
      'instruments: {X: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: A}}',
      'accounts: {main: {broker: paper, currency: USD, initial_cash: "1000000", instruments: [X]}}',
    ];
    stack = await startStack({ config: config.join("\n") });
    const { folder } = stack;
    for (const [name, text] of [
      ["a.csv", bars()],
      ["b.csv", bars()],
      ["feeder-a.ts", feeder("A")],
      ["feeder-b.ts", feeder("B")],
      ["asker.ts", ASKER],
    ] as const) {
      await writeFile(join(folder, name), text);
    }
    await symlink(
      fileURLToPath(new URL("../../node_modules", import.meta.url)),
      join(folder, "node_modules"),
    );
    qmtl = new QmtlCommand(stack.configFile, folder);
    await call("world", "create", "w", "--clock", "replay", "--source", "A", "--account", "main");
  }, 300_000);
  afterAll(async () => {
    for (const each of running) await each.end();
    await stack?.[Symbol.asyncDispose]();
  });

  const call = (...args: string[]) => qmtl.one("--gateway-url", stack.gatewayUrl, ...args);
  const advance = (source: string, row: number, ...more: string[]) =>
    call("queues", "advance", source, "--to", dateOf(row), ...more);
  const run = (file: string): LongCommand => {
    const started = qmtl.start(["--gateway-url", stack.gatewayUrl, "run", file, "--world", "w"]);
    running.push(started);
    return started;
  };
  const isHolder = (what: LongCommand) =>
    what.waitFor("it computes", ({ event }) => event === "takeover");

  test("follows the queues that carry the tags, and takes up one that comes later", async () => {
    const first = run("feeder-a.ts");
    await isHolder(first);
    const asker = run("asker.ts");
    await isHolder(asker);
    await advance("A", historyRows + 4, "--wait");

    await isHolder(run("feeder-b.ts"));
    await advance("B", historyRows + 4, "--wait");
    // From here on each bucket needs both feeds: neither continues alone.
    await advance("B", historyRows + 9);
    await advance("A", historyRows + 9, "--wait");
    await advance("B", historyRows + 9, "--wait");
    await asker.end("SIGINT");

    const status = asker.events.find(({ event }) => event === "status");
    // One queue stays below the threshold of 150, two are above it.
    expect(status).toMatchObject({ row: historyRows + 9, target: 1 });
    await using connection = stack.connect();
    const queues = connection.client(QueueService);
    const { queues: stats } = await queues.listQueueStats({});
    expect(stats.map(({ state }) => Number(state?.nextRow))).toEqual(
      stats.map(() => historyRows + 10),
    );
    expect(stats.map(({ voidRecords }) => Number(voidRecords))).toEqual(stats.map(() => 0));
    await first.end("SIGINT");
  }, 300_000);

  test("a runner that starts again goes on from its snapshots", async () => {
    const again = run("feeder-a.ts");
    await isHolder(again);

    await advance("A", historyRows + 11, "--wait");
    await again.end("SIGINT");

    const status = again.events.find(({ event }) => event === "status");
    expect(status).toMatchObject({ row: historyRows + 11, evaluations: { warmup: 0, shared: 6 } });
  }, 300_000);
});
