import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadConfig, type QmtlConfig, Runner } from "@qmtl/sdk";
import type { Connection } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Stack, startStack } from "../harness/start-stack.ts";
import {
  baseFile,
  dateOf,
  endMs,
  historyLines,
  historyRows,
  type LaneEntries,
  laneCases,
  laneConfig,
  laneOf,
  otherLanes,
  rows,
  speedPerSecond,
  type Traded,
} from "./data-lanes.ts";
import {
  type Lane,
  type LaneOrder,
  LaneStrategy,
  offlineOrders,
  PaperLanes,
} from "./paper-lane.ts";

const cases = { ...laneCases, ...otherLanes };
const laneOfKey = (key: string): Lane => laneOf(Object.keys(cases).indexOf(key) + 1);

describe("a key of sources, instruments or accounts", () => {
  let stack: Stack;
  let connection: Connection;
  let config: QmtlConfig;
  let paper: PaperLanes;
  let base: Traded;

  beforeAll(async () => {
    const entries: LaneEntries[] = Object.values(cases);
    stack = await startStack({ config: laneConfig(entries) });
    const write = (name: string, lines: readonly string[]): Promise<void> =>
      writeFile(join(stack.folder, name), `${lines.join("\n")}\n`);
    for (const [number, { file }] of [{} as LaneEntries, ...entries].entries())
      await write(`${laneOf(number).source}.csv`, file ?? baseFile);
    await write("history.csv", historyLines);
    connection = stack.connect();
    config = loadConfig({ path: stack.configFile });
    paper = new PaperLanes(connection, config, stack.gatewayUrl);
    base = await trade(laneOf(0));
  }, 120_000);
  afterAll(async () => {
    connection?.close();
    await stack?.[Symbol.asyncDispose]();
  });

  async function trade(lane: Lane): Promise<Traded> {
    return { offline: await ordersOffline(lane), online: await onPaper(lane) };
  }

  /** What a lane trades in a backtest alone. */
  async function inBacktest(key: string): Promise<Traded> {
    return { offline: await ordersOffline(laneOfKey(key)), online: [] };
  }

  async function ordersOffline(lane: Lane): Promise<LaneOrder[]> {
    const range = { from: dateOf(historyRows), until: dateOf(rows - 1) };
    const offline = await Runner.offline(new LaneStrategy(lane), { config, ...range });
    return offlineOrders(offline, Number(config.instruments[lane.instrument]?.lot));
  }

  async function onPaper(lane: Lane): Promise<LaneOrder[]> {
    const run = await paper.start(lane);
    await paper.advance(lane.source, endMs);
    const orders = await paper.orders(lane);
    await run.stop();
    return orders;
  }

  const backtest = (lane: Lane, range: { from?: string; until?: string } = {}) =>
    Runner.offline(new LaneStrategy(lane), { config, ...range });

  test.each(Object.entries(laneCases))("%s acts on paper as in a backtest", async (key, one) => {
    const traded = await trade(laneOfKey(key));

    one.shows(traded, one.against === undefined ? base : await inBacktest(one.against));
    expect(traded.online).toEqual(traded.offline);
  });

  test("sources.*.history_file is what backtests read, and what nodes are warmed with online", async () => {
    const lane = laneOfKey("sources.*.history_file");

    const { timesMs } = await backtest(lane);
    const [first] = await onPaper(lane);

    expect(timesMs).toHaveLength(historyRows);
    expect(first?.quantity).toBeGreaterThan(0);
    expect(base.online[0]?.price).not.toBe(first?.price);
  });

  test.each([
    ["sources.*.interval", /12h|interval/],
    ["sources.*.columns", /open/],
    ["accounts.*.instruments", /account/],
  ])("%s refuses a strategy that does not agree, online as in a backtest", async (key, why) => {
    const lane = laneOfKey(key);

    await expect(backtest(lane)).rejects.toThrow(why);
    await expect(paper.start(lane)).rejects.toThrow(why);
  });

  test("sources.*.speed is the most bars a second that a feed passes", async () => {
    const lane = laneOfKey("sources.*.speed");
    const run = await paper.start(lane);
    const begun = performance.now();

    await paper.advance(lane.source, endMs);

    const rowsPassed = rows - historyRows;
    expect(performance.now() - begun).toBeGreaterThan(((rowsPassed - 2) / speedPerSecond) * 1_000);
    await run.stop();
  });

  test("sources.*.start ends a backtest and begins the feed", async () => {
    const lane = laneOfKey("sources.*.start");

    const { timesMs } = await backtest(lane);
    await onPaper(lane);

    expect(timesMs).toHaveLength(historyRows + 5);
    expect(await paper.firstRow(lane)).toBeGreaterThanOrEqual(historyRows + 5);
  });

  test("sources.*.until holds the feed there", async () => {
    const lane = laneOfKey("sources.*.until");
    const run = await paper.start(lane);

    const passedMs = await paper.settledAt(lane.source);

    expect(new Date(passedMs).toISOString().slice(0, 10)).toBe(dateOf(historyRows + 5));
    await run.stop();
  });

  test("sources.*.periods_per_year scales the yearly figures of a backtest", async () => {
    const yearly = await backtest(laneOfKey("sources.*.periods_per_year"));
    const plain = await backtest(laneOf(0));

    const volatility = ({ metrics }: typeof plain): number => metrics.get("volatility") ?? 0;
    expect(yearly.returns.periodsPerYear).toBe(1_008);
    expect(volatility(yearly) / volatility(plain)).toBeCloseTo(2, 12);
  });

  test("test.history_start and history_end are the range of a backtest that names none", async () => {
    const test = { ...config.test, history_start: dateOf(2), history_end: dateOf(6) };

    const lane = new LaneStrategy(laneOf(0));
    const { timesMs } = await Runner.offline(lane, { config: { ...config, test } });

    expect(timesMs).toHaveLength(5);
  });

  test.each([
    ["sources.*.adapter", "sources: {day: {adapter: parquet, file: day.csv}}"],
    ["instruments.*.mark_source", "instruments: {X: {mark_source: nowhere}}"],
    ["instruments.*.venue", 'instruments: {X: {venue: "", mark_source: day}}'],
    ["accounts.*.broker", "accounts: {main: {broker: ib}}"],
    ["accounts.*.reconcile_interval_ms", "accounts: {main: {reconcile_interval_ms: 10}}"],
    ["accounts.*.faults", "accounts: {main: {faults: [lose_everything]}}"],
    ["bus.topic_prefix", 'bus: {topic_prefix: "a b"}'],
    ["project.name", 'project: {name: ""}'],
  ])("%s refuses a value that nothing stands for", async (key, text) => {
    const file = join(stack.folder, "refused.yml");
    await writeFile(file, `${text}\n`);

    const leaf = key.split(".").at(-1)!;
    expect(() => loadConfig({ path: file })).toThrow(leaf);
  });
});
