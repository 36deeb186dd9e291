import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { loadConfig } from "../../config/index.ts";
import {
  column,
  ema,
  PositionTargetNode,
  returns,
  rsi,
  Strategy,
  StreamInput,
  sma,
} from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { QueueReplica } from "./log/queue-replica.ts";
import { singleRecords } from "./log/wire-records.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineRun } from "./session/online-run.ts";

const historyRows = 60;
const feedRows = 1_500;
/** The feed is held at this row while the test changes something. */
const heldRow = historyRows + 1_300;
const rows = replayBars(historyRows, feedRows);

class Wave extends Strategy {
  readonly length: number;
  constructor(length: number) {
    super({ name: `Wave${length}`, defaultInterval: "1d", defaultPeriod: 1 });
    this.length = length;
  }
  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["open", "high", "low", "close"] });
    const close = column(bars, "close");
    const signal = rsi(ema(returns(close), 4), this.length);
    const thresholds = { longEnter: 60, longExit: 30, shortEnter: 20, shortExit: 40 };
    this.addNodes([
      sma(signal, 5),
      new PositionTargetNode({ signal, instrument: "X", thresholds }),
    ]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-kept-rows-"));
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources: {feed: {file: feed.csv, interval: 1d}}
instruments: {X: {mark_source: feed, lot: "0.1"}}
accounts: {paper: {instruments: [X]}}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
afterAll(() => rmSync(folder, { recursive: true }));

const module = fileURLToPath(import.meta.url);
const identified = identifyStrategy(new Wave(3), { worldId: "w1", module });
/** Shares the source and the average with the other strategy. */
const sharing = identifyStrategy(new Wave(5), { worldId: "w1", module });

const open: OnlineRun[] = [];
/** Largest number of rows that any queue of a process kept, measured whenever rows were freed. */
let keptMost = 0;
let isFreeing = true;
const freeBefore = QueueReplica.prototype.freeBefore;
const spy = vi.spyOn(QueueReplica.prototype, "freeBefore").mockImplementation(function (
  this: QueueReplica,
  row,
) {
  if (isFreeing) freeBefore.call(this, row);
  keptMost = Math.max(keptMost, this.keptRows);
});
afterAll(() => spy.mockRestore());
afterEach(async () => {
  await Promise.all(open.splice(0).map((run) => run.stop()));
  keptMost = 0;
});

async function start(gateway: FakeGateway, sessionId: string, strategy = identified) {
  const problems: string[] = [];
  const events: string[] = [];
  const run = await runOnline(strategy, {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    loadRows: async () => rows,
    sessionId,
    onEvent: ({ kind }) => events.push(kind),
    onProblem: (problem) => problems.push(problem),
  });
  open.push(run);
  return { run, problems, events };
}

/** On a busy machine these runs leave no moment for a timer for longer than a lease lasts; then other orders are made. */
function busyGateway(): FakeGateway {
  const gateway = new FakeGateway();
  gateway.leaseMs = 600_000;
  return gateway;
}

/** Every effective row of the computed nodes, bit for bit, without its writer. */
function logOf(gateway: FakeGateway, domain: "backtest" | "dryrun" = "backtest", fromRow = 0) {
  return identified.graph.nodes
    .filter(({ declared }) => declared.inputs.length > 0)
    .map(({ id }) =>
      gateway.log.records(gateway.key(id, domain)).flatMap((record) =>
        [...singleRecords(record)].flatMap(({ content, row = -1 }) => {
          if (content === undefined || row < fromRow) return [];
          const { values, stateHash } = content;
          return [[row, ...values, Buffer.from(stateHash).toString("hex")].join()];
        }),
      ),
    );
}

/** A run to the end of the feed: what it published, reported to the gateway and counted. */
async function whole() {
  const gateway = busyGateway();
  gateway.advance(historyRows);
  const { run, problems } = await start(gateway, "a");
  await waitUntil(() => gateway.runners.get("a") === historyRows, "the first row ended");
  gateway.setGate(true, "paper");
  await waitUntil(() => run.status().armed, "the gate open");
  gateway.advance(Number.POSITIVE_INFINITY);
  await run.done;
  const { target, wantedOrders, sentOrders, evaluations, row } = run.status();
  return {
    log: logOf(gateway),
    ends: gateway.targets.map(({ update }) => update.ends.map((end) => Number(end.row)).join()),
    targets: gateway.targets.flatMap(({ update }) =>
      update.targets.map(({ size, instrument }) => {
        return { instrument, size, row: Number(update.ends[0]?.row) };
      }),
    ),
    results: { target, wantedOrders, sentOrders, evaluations, row },
    problems,
    kept: keptMost,
  };
}

let before: Awaited<ReturnType<typeof whole>>;
beforeAll(async () => {
  isFreeing = false;
  before = await whole();
  isFreeing = true;
  keptMost = 0;
});

describe("a run over many rows", () => {
  test("keeps few of them, and publishes, states and counts what it did when it kept all", async () => {
    const now = await whole();

    expect(before.kept).toBeGreaterThan(feedRows - 64);
    expect(now.kept).toBeLessThan(1_100);
    const { kept: _, ...same } = before;
    expect(now).toMatchObject(same);
    expect(now.targets.length).toBeGreaterThan(50);
    expect(now.problems).toEqual([]);
  });

  test("is taken over by another one from its snapshots, to the same bits, and nothing is read again", async () => {
    const gateway = busyGateway();
    gateway.advance(historyRows - 1);
    await start(gateway, "a");
    await waitUntil(() => gateway.runners.has("a"), "the first in the runner set");
    const second = await start(gateway, "b");
    await waitUntil(() => gateway.runners.has("b"), "the second in the runner set");
    gateway.advance(heldRow);
    await waitUntil(() => gateway.runners.get("b") === heldRow, "the held row ended", 60_000);
    const reads = gateway.reads.length;
    const { warmup } = second.run.status().evaluations;

    gateway.kill("a");
    gateway.advance(Number.POSITIVE_INFINITY);
    await second.run.done;

    expect(logOf(gateway)).toEqual(before.log);
    expect(second.events).toContain("takeover");
    expect(second.events).not.toContain("diverged");
    const nodes = identified.graph.nodes.length;
    expect(second.run.status().evaluations.warmup - warmup).toBeLessThan(nodes * 700);
    expect(gateway.reads.length).toBe(reads);
    expect(keptMost).toBeLessThan(1_100);
  });

  test("keeps few of them also where it holds some nodes and another run holds others", async () => {
    const gateway = busyGateway();
    gateway.advance(historyRows + 600);
    const first = await start(gateway, "a");
    await waitUntil(() => gateway.runners.get("a") === historyRows + 600, "row 600 ended");
    const second = await start(gateway, "b", sharing);
    await waitUntil(() => gateway.runners.has("b"), "the second in the runner set");
    expect(second.run.status().holderOf).toBeGreaterThan(0);
    expect(second.run.status().followed).toBeGreaterThan(0);

    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([first.run.done, second.run.done]);

    expect(logOf(gateway)).toEqual(before.log);
    expect(keptMost).toBeLessThan(1_100);
  });

  test("opens a new context from the first row of its sources, which it reads from the log again", async () => {
    const gateway = busyGateway();
    gateway.advance(heldRow);
    const { run, problems } = await start(gateway, "a");
    await waitUntil(() => gateway.runners.get("a") === heldRow, "the held row ended", 60_000);
    const reads = gateway.reads.length;
    const strategyId = run.status().strategyId;

    gateway.openContext(strategyId);
    await waitUntil(() => gateway.swapPhase(strategyId) === 3, "COMMIT with the feed held");
    const again = gateway.reads.slice(reads).flatMap(({ keys }) => keys);
    gateway.advance(Number.POSITIVE_INFINITY);
    await run.done;

    const fromRow = heldRow + 2;
    const isLater = (text: string): boolean => Number(text.split(",", 1)[0]) >= fromRow;
    expect(logOf(gateway, "dryrun", fromRow)).toEqual(
      before.log.map((texts) => texts.filter(isLater)),
    );
    const source = gateway.key(identified.graph.nodes[0]!.id);
    expect(again).toContainEqual(
      expect.objectContaining({ computeKey: source, position: { case: "fromSeq", value: 0n } }),
    );
    expect(problems).toEqual([]);
  });
});
