import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import type { ReplayRows } from "../../sources/replay-feed.ts";
import {
  PositionTargetNode,
  ProcessingNode,
  Strategy,
  type StrategyFill,
  StreamInput,
  sma,
} from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { singleRecords } from "./log/wire-records.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineRun } from "./session/online-run.ts";

const dayMs = 86_400_000;
const historyRows = 10;
const bars = replayBars(historyRows, 14);

/** The same bars without some of their days; rows are numbered without gaps. */
function withoutDays(rows: ReplayRows, left: ReadonlySet<number>): ReplayRows {
  const kept = Array.from(rows.bucketEndMs.keys()).filter((at) => !left.has(at));
  const take = (values: Float64Array): Float64Array => Float64Array.from(kept, (at) => values[at]!);
  return {
    ...rows,
    startRow: kept.findIndex((at) => at >= rows.startRow),
    endRow: kept.length,
    bucketEndMs: take(rows.bucketEndMs),
    column: (name) => take(rows.column(name)),
  };
}

/** Days of A and of B that have no bar. */
const leftA = new Set([13]);
const leftB = new Set([4, 16, 17]);
const rowsA = withoutDays(bars, leftA);
const rowsB = withoutDays(bars, leftB);

class Pair extends Strategy {
  readonly fills: StrategyFill[] = [];
  constructor() {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
  }
  setup(): void {
    const a = new StreamInput({ source: "A", columns: ["close"] });
    const b = new StreamInput({ source: "B", columns: ["close"] });
    const sum = new ProcessingNode({
      name: "sum",
      inputs: { a, b },
      compute: (windows) => windows.a.latest() + windows.b.latest(),
    });
    const thresholds = { longEnter: 1 };
    this.addNodes([
      new PositionTargetNode({ signal: sma(sum, 2), instrument: "X", thresholds, longWeight: 0.5 }),
      new PositionTargetNode({ signal: b, instrument: "Y", thresholds, longWeight: 0.25 }),
    ]);
  }
  override onFill(fill: StrategyFill): void {
    this.fills.push(fill);
  }
}

class Gappy extends Strategy {
  constructor() {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
  }
  setup(): void {
    const a = new StreamInput({ source: "A", columns: ["close"], schedule: "continuous" });
    const thresholds = { longEnter: 1 };
    this.addNodes([new PositionTargetNode({ signal: sma(a, 2), instrument: "X", thresholds })]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-feeds-"));
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources: {A: {file: a.csv, interval: 1d}, B: {file: b.csv, interval: 1d}}
instruments: {X: {mark_source: A, lot: "0.1"}, Y: {mark_source: B, lot: "0.1"}}
accounts: {paper: {instruments: [X, Y]}}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
afterAll(() => rmSync(folder, { recursive: true }));

const open: OnlineRun[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((run) => run.stop()));
});

async function start(gateway: FakeGateway, strategy: Strategy, sessionId = "only") {
  const module = fileURLToPath(import.meta.url);
  const identified = identifyStrategy(strategy, { worldId: "w1", module });
  const problems: string[] = [];
  const run = await runOnline(identified, {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    loadRows: async (source) => (source === "A" ? rowsA : rowsB),
    sessionId,
    onProblem: (problem) => problems.push(problem),
  });
  open.push(run);
  const idOf = (name: string): string =>
    identified.graph.nodes.find(({ declared }) => declared.name === name)!.id;
  return { run, problems, idOf, identified };
}

/** Kind, row and first value of every record of a queue. */
function recordsOf(gateway: FakeGateway, nodeId: string) {
  return gateway.log.records(gateway.key(nodeId)).flatMap((record) =>
    [...singleRecords(record)].flatMap(({ kind, row, content }) => {
      return row === undefined ? [] : [{ kind, row, value: content?.values[0] }];
    }),
  );
}

describe("a strategy of two feeds and two targets", () => {
  test("computes each bucket both have, and ends every row of each feed once", async () => {
    const gateway = new FakeGateway();

    const { run, idOf, problems } = await start(gateway, new Pair());
    await run.done;

    const closeOf = (day: number): number => bars.column("close")[day]!;
    const days = Array.from({ length: bars.endRow }, (_, day) => day);
    const daysA = days.filter((day) => !leftA.has(day));
    const sums = recordsOf(gateway, idOf("sum"));
    expect(sums.map(({ row }) => row)).toEqual(daysA.slice(rowsA.startRow).map((_, k) => k + 10));
    for (const { kind, row, value } of sums) {
      const day = daysA[row]!;
      expect([kind, value]).toEqual(
        leftB.has(day) ? ["EMPTY", undefined] : ["ROW", closeOf(day) + closeOf(day)],
      );
    }
    for (const [source, rows] of [
      ["A", rowsA],
      ["B", rowsB],
    ] as const) {
      const ends = gateway.targets.flatMap(({ update }) =>
        update.ends.filter((end) => end.source === source),
      );
      expect(ends.map(({ row }) => Number(row))).toEqual(
        Array.from({ length: rows.endRow - rows.startRow }, (_, k) => rows.startRow + k),
      );
    }
    expect(gateway.log.voidRecords).toBe(0);
    expect(problems).toEqual([]);
    expect(run.status().wantedOrders).toBeGreaterThanOrEqual(2);
    expect(run.status().targets).toEqual({ X: 0.5, Y: 0.25 });
  });

  test("states each target with the row of its own marks, when the gate opens", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const { run } = await start(gateway, new Pair());
    await waitUntil(() => gateway.barrier.runnersOf("A").get("only") === 12, "row 12 of A");

    gateway.setGate(true, "paper");
    await waitUntil(() => run.status().sentOrders >= 2, "both targets");

    const sent = gateway.targets.filter(({ update }) => update.targets.length > 0);
    const stated = sent.flatMap(({ update: { ends, targets } }) =>
      targets.map(({ instrument, row, size }) => {
        const own = instrument === "X" ? "A" : "B";
        const source = ends.find((end) => end.source === own && end.row === row)?.source;
        return [source, instrument, size.value];
      }),
    );
    expect(stated).toEqual(
      expect.arrayContaining([
        ["A", "X", 0.5],
        ["B", "Y", 0.25],
      ]),
    );
  });
});

describe("a stream on the schedule where every bucket exists", () => {
  test("publishes a missing bucket in each gap, numbered from the epoch", async () => {
    const gateway = new FakeGateway();

    const { run, idOf, problems } = await start(gateway, new Gappy());
    await run.done;

    const firstMs = bars.bucketEndMs[historyRows]!;
    const firstRow = firstMs / dayMs - 1;
    const source = recordsOf(gateway, idOf("A"));
    expect(source.map(({ kind, row }) => [kind, row - firstRow + historyRows])).toEqual(
      Array.from({ length: 14 }, (_, k) => {
        const day = historyRows + k;
        return [leftA.has(day) ? "EMPTY" : "ROW", day];
      }),
    );
    const means = recordsOf(gateway, idOf("sma(A,2)"));
    const empty = means.filter(({ kind }) => kind === "EMPTY").map(({ row }) => row);
    expect(empty).toEqual([...leftA].map((day) => firstRow + day - historyRows));
    expect(gateway.log.voidRecords).toBe(0);
    expect(problems).toEqual([]);
  });
});

describe("fills", () => {
  test("are told to the strategy as they come, its own and only from now on", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 1);
    const order = (id: string, strategyId: string, instrument = "X") =>
      gateway.journal({
        kind: JournalKind.ORDER,
        strategyId,
        row: 11,
        body: { op: "note", order: { id, instrument } },
      });
    const fill = (orderId: string, strategyId: string, lots: number) =>
      gateway.journal({
        kind: JournalKind.FILL,
        strategyId,
        row: 11,
        body: { op: "fill", fill: { orderId, executionId: `e${lots}`, lots, price: 7, fee: 0.5 } },
      });
    order("before", "s-Pair");
    fill("before", "s-Pair", 5);
    const strategy = new Pair();
    await start(gateway, strategy);
    await waitUntil(() => gateway.isJournalWatched, "the journal followed");

    order("mine", "s-Pair", "Y");
    fill("mine", "s-Pair", -3);
    fill("before", "s-Pair", 2);
    fill("other", "s-Other", 9);
    await waitUntil(() => strategy.fills.length >= 2, "two fills");

    expect(strategy.fills).toMatchObject([
      { instrument: "Y", clientOrderId: "mine", side: "sell", quantity: "0.3", price: 7, fee: 0.5 },
      { instrument: "X", clientOrderId: "before", side: "buy", quantity: "0.2" },
    ]);
  });
});
