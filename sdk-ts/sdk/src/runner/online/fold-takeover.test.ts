import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { columns, derive, FoldNode, Strategy, StreamInput, WeightTargetNode } from "@qmtl/sdk";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { shortHash } from "./compute/hashes.ts";
import { singleRecords } from "./log/wire-records.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineRun } from "./session/online-run.ts";

const historyRows = 100;
const feedRows = 40;
const stopRow = historyRows + 29;
const rows = replayBars(historyRows, feedRows);

/** A fold whose state never forgets its start, and one over its outputs with an array and a boolean in its state. */
class Folds extends Strategy {
  static readonly module = import.meta.url;

  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["close"], interval: "1d" });
    const { close } = columns(bars);
    const moments = new FoldNode({
      name: "moments",
      inputs: { close },
      initial: { count: 0, mean: 0, squares: 0 },
      outputs: ["mean", "squares"],
      step: (state, x) => {
        state.count++;
        const gap = x.close - state.mean;
        state.mean += gap / state.count;
        state.squares += gap * (x.close - state.mean);
      },
    });
    const { mean } = columns(moments);
    const side = new FoldNode({
      name: "side",
      inputs: { close, mean },
      initial: { at: 0, isLong: false, ring: new Float64Array(5) },
      memory: 5,
      step: (state, x) => {
        state.ring[state.at] = x.close - x.mean;
        state.at = (state.at + 1) % 5;
        let sum = 0;
        for (const gap of state.ring) sum += gap;
        state.isLong = sum > (state.isLong ? -10 : 10);
        return state.isLong ? 1 : 0;
      },
    });
    const signal = derive({ side }, (x) => x.side / 2, {}, { name: "half" });
    this.addNodes([new WeightTargetNode({ signal, instrument: "X" })]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-folds-"));
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

const identified = identifyStrategy(new Folds(), { worldId: "w1" });

async function start(gateway: FakeGateway, sessionId: string) {
  const problems: string[] = [];
  const run = await runOnline(identified, {
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

const idOf = (name: string): string =>
  identified.graph.nodes.find(({ declared }) => declared.name === name)!.id;

/** Effective rows of a node, with the hash of its state after each. */
const rowsOf = (gateway: FakeGateway, id: string) =>
  gateway.log.records(gateway.key(id)).flatMap((record) =>
    [...singleRecords(record)].flatMap(({ content, row }) => {
      if (content === undefined) return [];
      return [{ row, values: [...content.values], stateHash: hex(content.stateHash) }];
    }),
  );
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const logOf = (gateway: FakeGateway) => identified.graph.nodes.map(({ id }) => rowsOf(gateway, id));

/** A gateway whose only runner stopped in the middle of the feed, with its states stored. */
async function stopped(): Promise<FakeGateway> {
  const gateway = new FakeGateway();
  gateway.advance(stopRow);
  const { run } = await start(gateway, "first");
  await waitUntil(() => gateway.runners.get("first") === stopRow, "the first part ended");
  await run.stop();
  await waitUntil(() => gateway.snapshots.all.length > 0, "snapshots");
  gateway.kill("first"); // the lease of the feed, which the barrier holds, lapses
  return gateway;
}

async function goOn(gateway: FakeGateway) {
  const { run, problems } = await start(gateway, "second");
  await waitUntil(() => gateway.runners.has("second"), "the second in the runner set");
  const { warmup } = run.status().evaluations;
  gateway.advance(Number.POSITIVE_INFINITY);
  await run.done;
  return { warmup, problems };
}

const calm = new FakeGateway();
beforeAll(async () => {
  await (await start(calm, "calm")).run.done;
});

test("the queue of a fold has the values of a plain loop from the first row of the history, and the hash of its state", () => {
  const close = rows.column("close");
  let [count, mean, squares] = [0, 0, 0];
  const expected = [...close].map((price, row) => {
    count++;
    const gap = price - mean;
    mean += gap / count;
    squares += gap * (price - mean);
    const state = new Uint8Array(Float64Array.of(count, mean, squares).buffer.slice(0));
    return { row, values: [mean, squares], stateHash: hex(shortHash(state)) };
  });

  expect(rowsOf(calm, idOf("moments"))).toEqual(expected.slice(historyRows));
});

test("a fold that another runner takes over goes on from its snapshot, to the same bits", async () => {
  const gateway = await stopped();

  const { warmup, problems } = await goOn(gateway);

  expect(problems).toEqual([]);
  expect(warmup).toBe(0);
  expect(logOf(gateway)).toEqual(logOf(calm));
  expect(gateway.log.voidRecords).toBe(0);
});

test("a fold without a snapshot is computed again from the first row of the history, to the same bits", async () => {
  const gateway = await stopped();
  gateway.snapshots.all = [];

  const { warmup, problems } = await goOn(gateway);

  expect(problems).toEqual([]);
  expect(warmup).toBeGreaterThan(2 * stopRow);
  expect(logOf(gateway)).toEqual(logOf(calm));
});
