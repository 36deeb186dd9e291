import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { QmtlCommand } from "../../examples/demo/src/qmtl-command.ts";
import { waitFor } from "./crash/wait-for.ts";
import { type Stack, startStack } from "./harness/start-stack.ts";

const dayMs = 86_400_000;
const firstDay = Date.UTC(2020, 0, 1);
const dateOf = (row: number): string => new Date(firstDay + row * dayMs).toISOString().slice(0, 10);
/** Rows before the feed begins, and rows that it replays. */
const historyRows = 10;
const feedRows = 8;
/** More than one call of any method takes: 1,000 keys. */
const averages = 1_100;

const STRATEGY = `
import { ema, PositionTargetNode, Strategy, StreamInput } from "@qmtl/sdk";

export class Wide extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const close = new StreamInput({ source: "day", columns: ["close"], interval: "1d" });
    const all = Array.from({ length: ${averages} }, (_, at) => ema(close, 2 + at));
    const thresholds = { longEnter: 1 };
    this.addNodes([...all, new PositionTargetNode({ signal: all[0], instrument: "X", thresholds })]);
  }
}
`;

describe("a strategy of more nodes than one call may name", () => {
  let stack: Stack;
  let qmtl: QmtlCommand;

  beforeAll(async () => {
    stack = await startStack({
      config: [
        `sources: {day: {adapter: csv-replay, file: day.csv, interval: 1d, start: ${dateOf(historyRows)}, until: start}}`,
        'instruments: {X: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: day}}',
        'accounts: {main: {broker: paper, currency: USD, initial_cash: "1000000", instruments: [X]}}',
      ].join("\n"),
    });
    const { folder } = stack;
    const lines = Array.from({ length: historyRows + feedRows }, (_, row) => {
      const close = 100 + ((row * 5) % 7);
      return [dateOf(row), close, close + 1, close - 1, close].join(",");
    });
    await writeFile(join(folder, "day.csv"), `date,open,high,low,close\n${lines.join("\n")}\n`);
    await writeFile(join(folder, "wide.ts"), STRATEGY);
    await symlink(
      fileURLToPath(new URL("../../node_modules", import.meta.url)),
      join(folder, "node_modules"),
    );
    qmtl = new QmtlCommand(stack.configFile, folder);
  }, 300_000);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const call = (...args: string[]) => qmtl.one("--gateway-url", stack.gatewayUrl, ...args);
  const run = () =>
    qmtl.start(["--gateway-url", stack.gatewayUrl, "run", "wide.ts", "--world", "w"]);

  /** Rows of every queue, feed and computed ones. */
  const nextRows = async (): Promise<number[]> => {
    await using connection = stack.connect();
    const client = connection.client(QueueService);
    const first1000 = await client.listQueueStats({ pageSize: 1_000 });
    const rest = await client.listQueueStats({
      pageSize: 1_000,
      pageToken: first1000.nextPageToken,
    });
    return [...first1000.queues, ...rest.queues].map(({ state }) => Number(state?.nextRow));
  };
  /** A feed is settled when its runner has decided on its rows; what was computed may still be on its way. */
  const inLog = (rows: number): Promise<true> =>
    waitFor(`every queue has ${rows} rows`, async () => {
      const all = await nextRows();
      return (all.length > averages && all.every((next) => next === rows)) || undefined;
    });

  test("is computed, and continued from its snapshots, as any other", async () => {
    await call("world", "create", "w", "--clock", "replay", "--source", "day", "--account", "main");
    const first = run();
    await first.waitFor("it computes", ({ event }) => event === "takeover");
    await call("queues", "advance", "day", "--to", dateOf(historyRows + 3), "--wait");
    await inLog(historyRows + 4);
    await first.end("SIGINT");
    const again = run();
    await again.waitFor("it computes", ({ event }) => event === "takeover");
    await call("queues", "advance", "day", "--to", dateOf(historyRows + 7), "--wait");
    await again.end("SIGINT");

    const status = again.events.find(({ event }) => event === "status");
    expect(status).toMatchObject({ row: historyRows + 7, evaluations: { warmup: 0 } });
    const rows = await nextRows();
    expect(rows.length).toBeGreaterThan(averages);
    expect(new Set(rows)).toEqual(new Set([historyRows + feedRows]));
  }, 300_000);
});
