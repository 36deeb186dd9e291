import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
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
import { singleRecords } from "./log/wire-records.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineRun } from "./session/online-run.ts";

const historyRows = 100;
const feedRows = 40;
const stopAfter = 30;
const rows = replayBars(historyRows, feedRows);

class Long extends Strategy {
  constructor() {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
  }
  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["open", "high", "low", "close"] });
    const close = column(bars, "close");
    this.addNodes([
      sma(ema(close, 9), 5),
      new PositionTargetNode({
        signal: rsi(returns(sma(close, 3)), 7),
        instrument: "X",
        thresholds: { longEnter: 60, longExit: 40 },
      }),
    ]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-snapshots-"));
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources: {feed: {file: feed.csv, interval: 1d}}
instruments: {X: {mark_source: feed, lot: "0.1"}}
accounts: {paper: {instruments: [X]}}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
afterAll(() => rmSync(folder, { recursive: true }));

const open: OnlineRun[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((run) => run.stop()));
});

const identified = () =>
  identifyStrategy(new Long(), { worldId: "w1", module: fileURLToPath(import.meta.url) });

async function start(gateway: FakeGateway, sessionId: string) {
  const problems: string[] = [];
  const run = await runOnline(identified(), {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    loadRows: async () => rows,
    sessionId,
    onProblem: (problem) => problems.push(problem),
  });
  open.push(run);
  return { run, problems };
}

/** Every effective row of every node, bit for bit, without its writer. */
function logOf(gateway: FakeGateway): unknown[] {
  return identified().graph.nodes.map(({ id }) =>
    gateway.log.records(gateway.key(id)).flatMap((record) =>
      [...singleRecords(record)].flatMap(({ content, row, seq }) => {
        if (content === undefined) return [];
        const { values, stateHash, windowHash, inputSeq } = content;
        const hashes = [stateHash, windowHash].map((hash) => Buffer.from(hash).toString("hex"));
        return [[row, seq, ...values, ...inputSeq, ...hashes]];
      }),
    ),
  );
}

/** A runner that stopped in the middle of the feed, with its states stored. */
async function stopped(): Promise<FakeGateway> {
  const gateway = new FakeGateway();
  gateway.advance(historyRows + stopAfter - 1);
  const { run } = await start(gateway, "first");
  const last = historyRows + stopAfter - 1;
  await waitUntil(() => gateway.runners.get("first") === last, "the first part ended");
  await run.stop();
  await waitUntil(() => gateway.snapshots.all.length > 0, "snapshots");
  gateway.kill("first"); // the lease of the feed, which the barrier holds, lapses
  return gateway;
}

let calm: unknown[] = [];
beforeAll(async () => {
  const gateway = new FakeGateway();
  await (await start(gateway, "calm")).run.done;
  calm = logOf(gateway);
});

/** The rest of the feed by a second runner. */
async function goOn(gateway: FakeGateway) {
  const readsBefore = gateway.reads.length;
  const { run, problems } = await start(gateway, "second");
  await waitUntil(() => gateway.runners.has("second"), "the second in the runner set");
  const warmup = run.status().evaluations.warmup;
  const from = gateway.reads.slice(readsBefore).flatMap((read) => read.keys);
  gateway.advance(Number.POSITIVE_INFINITY);
  await run.done;
  return { run, problems, warmup, from };
}

describe("a runner that starts again", () => {
  test("begins at its snapshots, reads only what follows, and writes the same bits", async () => {
    const gateway = await stopped();

    const { warmup, from, problems, run } = await goOn(gateway);

    expect(problems).toEqual([]);
    expect(logOf(gateway)).toEqual(calm);
    expect(gateway.log.voidRecords).toBe(0);
    expect(warmup).toBe(0);
    expect(run.status().evaluations.shared).toBeGreaterThan(0);
    const firstReads = from.slice(0, identified().graph.nodes.length);
    expect(firstReads.map(({ position }) => position.case)).toEqual(
      firstReads.map(() => "fromRow"),
    );
    expect(Math.min(...firstReads.map(({ position }) => Number(position.value)))).toBeGreaterThan(
      historyRows + stopAfter - 20,
    );
  });

  test("without snapshots warms from the whole past, to the same bits", async () => {
    const gateway = await stopped();
    gateway.snapshots.all = [];

    const { warmup, problems } = await goOn(gateway);

    expect(problems).toEqual([]);
    expect(warmup).toBeGreaterThan(5 * (historyRows + stopAfter - 20));
    expect(logOf(gateway)).toEqual(calm);
  });

  test("ignores a snapshot whose bytes were damaged, tells so, and goes on all the same", async () => {
    const gateway = await stopped();
    gateway.snapshots.all = gateway.snapshots.all.map((one) => {
      const state = Uint8Array.from(one.state ?? []);
      state[3] = 255 - (state[3] ?? 0);
      return { ...one, state };
    });

    const { problems } = await goOn(gateway);

    expect(problems[0]).toMatch(/snapshot of row 129 is ignored: its bytes do not match its hash/);
    expect(logOf(gateway)).toEqual(calm);
  });

  test("ignores a snapshot of another node: its state has another length", async () => {
    const gateway = await stopped();
    gateway.snapshots.all = gateway.snapshots.all.map((one) => ({
      ...one,
      state: Uint8Array.from([...(one.state ?? []), 0, 0, 0, 0, 0, 0, 0, 0]),
    }));

    const { problems } = await goOn(gateway);

    expect(problems[0]).toMatch(/ignored: expected \d+ bytes of state, found \d+/);
    expect(logOf(gateway)).toEqual(calm);
  });

  test("ignores a snapshot of another history, and reads the queues again from the first record", async () => {
    const gateway = await stopped();
    const other = await otherHistory();
    gateway.snapshots.all = gateway.snapshots.all.map((one) => ({
      ...one,
      ...other.get(one.computeKey ?? ""),
    }));

    const { problems } = await goOn(gateway);

    expect(problems[0]).toMatch(/snapshot of node ".+" at row 129 is ignored: the log differs/);
    expect(logOf(gateway)).toEqual(calm);
  });

  test("ignores a snapshot of a row that the log does not have", async () => {
    const gateway = await stopped();
    const newest = gateway.snapshots.all;
    gateway.snapshots.all = newest.map((one) => ({ ...one, row: BigInt(historyRows + 1_000) }));

    const { problems } = await goOn(gateway);

    expect(problems.length).toBeGreaterThan(0);
    expect(logOf(gateway)).toEqual(calm);
  });
});

/** States of the previous row, as if they were of the last row. */
async function otherHistory() {
  const gateway = new FakeGateway();
  gateway.advance(historyRows + stopAfter - 2);
  const { run } = await start(gateway, "other");
  const last = historyRows + stopAfter - 2;
  await waitUntil(() => gateway.runners.get("other") === last, "the first part ended");
  await run.stop();
  return new Map(
    gateway.snapshots.all.map(({ computeKey = "", state, stateHash }) => {
      return [computeKey, { state: state!, stateHash: stateHash! }] as const;
    }),
  );
}
