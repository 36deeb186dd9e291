import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseNodeId, sourceComputeKey } from "@qmtl/core/canonical";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import {
  column,
  PositionTargetNode,
  returns,
  rsi,
  Strategy,
  StreamInput,
  sma,
} from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { type CarriedRecord, singleRecords, wireRecord } from "./log/wire-records.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineRun } from "./session/online-run.ts";
import type { OnlineEvent } from "./session/run-reporter.ts";

const historyRows = 60;
const feedRows = 40;
const rows = replayBars(historyRows, feedRows);

class Wave extends Strategy {
  readonly long: number;
  constructor(name: string, long: number) {
    super({ name, defaultInterval: "1d", defaultPeriod: 1 });
    this.long = long;
  }
  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["open", "high", "low", "close"] });
    const close = column(bars, "close");
    const swing = rsi(returns(close), 3);
    this.addNodes([
      sma(close, 5),
      new PositionTargetNode({
        signal: swing,
        instrument: "X",
        thresholds: { longEnter: this.long, longExit: 30, shortEnter: 20, shortExit: 40 },
      }),
    ]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-online-"));
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

async function run(
  gateway: FakeGateway,
  name: string,
  sessionId: string,
  long = 60,
): Promise<{ run: OnlineRun; events: OnlineEvent[]; problems: string[] }> {
  const identified = identifyStrategy(new Wave(name, long), {
    worldId: gateway.worldId,
    module: fileURLToPath(import.meta.url),
  });
  const events: OnlineEvent[] = [];
  const problems: string[] = [];
  const started = await runOnline(identified, {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    loadRows: async () => rows,
    sessionId,
    onEvent: (event) => events.push(event),
    onProblem: (problem) => problems.push(problem),
  });
  open.push(started);
  return { run: started, events, problems };
}

/** Values of every row of a node, from the log. */
function valuesOf(
  gateway: FakeGateway,
  nodeId: string,
  domain: "backtest" | "dryrun" = "backtest",
) {
  const records = gateway.log.records(gateway.key(nodeId, domain));
  return records.flatMap((record) =>
    [...singleRecords(record)].flatMap(({ content, row }) =>
      content === undefined
        ? []
        : [[row!, ...content.values, Buffer.from(content.stateHash).toString("hex")]],
    ),
  );
}

const graphOf = (name: string, long = 60) =>
  identifyStrategy(new Wave(name, long), { worldId: "w1", module: fileURLToPath(import.meta.url) });

/** What an undisturbed run publishes for every computed node. */
async function undisturbed(): Promise<Map<string, unknown[]>> {
  const gateway = new FakeGateway();
  const { run: only } = await run(gateway, "A", "calm");
  await only.done;
  return new Map(graphOf("A").graph.nodes.map(({ id }) => [id, valuesOf(gateway, id)]));
}

/** Rows of the feed that were ended, in order. */
function endedRows(gateway: FakeGateway): number[] {
  return gateway.targets.flatMap(({ update }) => update.ends.map(({ row }) => Number(row)));
}

describe("an online run", () => {
  test("plays the feed to its end, publishes each row once and ends each bucket once", async () => {
    const gateway = new FakeGateway();

    const { run: only, events } = await run(gateway, "A", "a");
    await only.done;

    const { nodes } = graphOf("A").graph;
    for (const { id } of nodes) expect(valuesOf(gateway, id)).toHaveLength(feedRows);
    expect(endedRows(gateway)).toEqual(
      Array.from({ length: feedRows }, (_, at) => historyRows + at),
    );
    expect(gateway.log.voidRecords).toBe(0);
    expect(only.status().evaluations.shared).toBe(nodes.length * feedRows);
    expect(events.at(-2)?.kind).toBe("data_end");
    expect(gateway.runners.size).toBe(0);
    expect(nodes.map(({ id }) => gateway.holder(gateway.key(id)))).toEqual(
      nodes.map(() => undefined),
    );
  });

  test("counts the orders it wanted while its gate is shut, and sends none", async () => {
    const gateway = new FakeGateway();

    const { run: only } = await run(gateway, "A", "a");
    await only.done;

    expect(gateway.targets.flatMap((one) => one.update.targets)).toEqual([]);
    expect(only.status().wantedOrders).toBeGreaterThan(3);
    expect(Number(gateway.targets.at(-1)!.update.wantedOrders)).toBe(only.status().wantedOrders);
  });

  test("two runs share what they have in common: each node is computed in one of them only", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const first = await run(gateway, "A", "a", 60);
    await waitUntil(() => gateway.runners.has("a"), "A in the runner set");
    const second = await run(gateway, "B", "b", 70);
    await waitUntil(() => gateway.runners.has("b"), "B in the runner set");

    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([first.run.done, second.run.done]);

    const nodes = new Set(
      [graphOf("A", 60), graphOf("B", 70)].flatMap(({ graph }) => graph.nodes.map(({ id }) => id)),
    );
    const a = first.run.status().evaluations;
    const b = second.run.status().evaluations;
    expect(b.shared).toBe(feedRows);
    expect(a.shared + b.shared).toBe(nodes.size * feedRows);
    expect(gateway.log.voidRecords).toBe(0);
  });

  test("when the holder dies the other takes over, and the log is that of an undisturbed run", async () => {
    const expected = await undisturbed();
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.has("a"), "the first in the runner set");
    const second = await run(gateway, "A", "b");
    await waitUntil(() => gateway.runners.has("b"), "the second in the runner set");

    gateway.advance(historyRows + 15);
    await waitUntil(() => gateway.runners.get("b") === historyRows + 15, "row 15 ended");
    gateway.kill("a");
    gateway.advance(Number.POSITIVE_INFINITY);
    await second.run.done;

    for (const [id, values] of expected) expect(valuesOf(gateway, id)).toEqual(values);
    expect(second.events.some((event) => event.kind === "takeover")).toBe(true);
    expect(second.events.some((event) => event.kind === "diverged")).toBe(false);
  });

  /**
   * A run that has taken over from one that died, after a row of a node that it computes otherwise: that of the row
   * before, or `rsiOf` the row.
   */
  async function diverging(gateway: FakeGateway, rsiOf?: (row: number) => number) {
    gateway.advance(historyRows - 1);
    await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.has("a"), "the first in the runner set");
    const second = await run(gateway, "A", "b");
    await waitUntil(() => gateway.runners.has("b"), "the second in the runner set");
    gateway.advance(historyRows + 5);
    await waitUntil(() => gateway.runners.get("b") === historyRows + 5, "row 5 ended");
    const node = graphOf("A").graph.nodes.find(({ declared }) => declared.node.nodeType === "rsi")!;
    const key = gateway.key(node.id);
    const epoch = gateway.log.fold(key).epoch;
    gateway.kill("a");
    const forged = gateway.log.records(key).findLast(({ body }) => body.case === "rows")!;
    if (forged.body.case !== "rows") throw new Error("no row to forge");
    const fold = gateway.log.fold(key);
    const value = { ...forged.body.value, row: BigInt(fold.nextRow) };
    if (rsiOf !== undefined)
      value.columns = [new Uint8Array(new Float64Array([rsiOf(fold.nextRow)]).buffer)];
    gateway.log.append({
      ...forged,
      leaseEpoch: BigInt(epoch),
      seq: BigInt(fold.seq),
      body: { case: "rows", value },
    });
    gateway.advance(historyRows + 7);
    await waitUntil(() => second.events.some((event) => event.kind === "diverged"), "divergence");
    await waitUntil(() => gateway.holder(key) === undefined, "the lease given up");
    return { second, key, name: node.declared.name, forged };
  }

  test("a node taken over whose log holds other bits is not published: the log stands", async () => {
    const gateway = new FakeGateway();

    const { key } = await diverging(gateway);

    expect(gateway.holder(key)).toBeUndefined();
  });

  test("what comes after a node that differs from its log is computed from the log, not from what the run made of it", async () => {
    const target = graphOf("A").graph.nodes.find(
      ({ declared }) => declared.node.nodeType === "position_target",
    )!;
    const calm = new FakeGateway();
    const { run: only } = await run(calm, "A", "calm");
    await only.done;
    const targetAt = (of: FakeGateway, at: number) =>
      Number(valuesOf(of, target.id).find(([row]) => row === at)?.[1]);
    const gateway = new FakeGateway();
    let forgedRow = -1;
    await diverging(gateway, (row) => {
      forgedRow = row;
      return 50;
    });

    await waitUntil(
      () => gateway.log.fold(gateway.key(target.id)).nextRow > forgedRow,
      "the row of the target",
    );

    // Its own signal keeps it short; that of the log is beyond the exit of the short side.
    expect([targetAt(calm, forgedRow), targetAt(gateway, forgedRow)]).toEqual([-1, 0]);
  });

  test("a run whose node nobody may continue says so, and ends rather than hold the feed up for ever", async () => {
    const gateway = new FakeGateway();
    gateway.leaseMs = 2_000;
    const { second, key, name } = await diverging(gateway);
    const rowsBefore = gateway.log.fold(key).nextRow;

    const failure = await second.run.done.catch((error: unknown) => error);

    expect(String(failure)).toMatch(/^QueueDivergedError: nobody computes .*another world/);
    expect(String(failure)).toContain(`"${name}"`);
    const waits = second.problems.filter((problem) =>
      problem.startsWith("waits for the next rows"),
    );
    expect(waits.join()).toContain(`"${name}", which this build may not compute`);
    expect(gateway.log.fold(key).nextRow).toBe(rowsBefore);
    expect(gateway.runners.has("b")).toBe(false);

    const third = await run(gateway, "A", "c");
    await waitUntil(
      () => third.problems.some((one) => one.startsWith(`may not compute "${name}"`)),
      "the next run is told",
    );
    await expect(third.run.done).rejects.toThrow("nobody computes");
    expect(gateway.runners.has("c")).toBe(false);
  });

  /** A START as another program may have written it, of a queue that begins at this row. */
  const startAt = (row: number, feedFingerprint = ""): CarriedRecord => ({
    kind: "START",
    epoch: 1,
    start: { build: "other", feedFingerprint },
    origin: { row, warmFromRow: row, stateHash: "" },
  });

  test.each([10 ** 15, 10 ** 12, historyRows + feedRows + 1])(
    "a run whose source's queue begins at row %d, which its file has not, ends and says so",
    async (row) => {
      const gateway = new FakeGateway();
      const { id } = graphOf("A").graph.nodes.find(({ declared }) => declared.inputs.length === 0)!;
      gateway.log.append(
        wireRecord(sourceComputeKey(parseNodeId(id)), startAt(row, rows.fingerprint)),
      );

      const { run: only } = await run(gateway, "A", "a");
      const failure = await only.done.catch((error: unknown) => error);

      expect(failure).toMatchObject({ reason: "FEED_CHANGED" });
      expect(String(failure)).toContain(`the queue of source "feed" begins at row ${row}`);
      expect(String(failure)).toContain("give the source another name");
    },
  );

  test("a run that computes a node whose queue begins at row 10^15 computes it for itself, to the end", async () => {
    const gateway = new FakeGateway();
    const { id } = graphOf("A").graph.nodes.find(({ declared }) => declared.inputs.length > 0)!;
    const key = gateway.key(id);
    gateway.takeLease(key, "other");
    gateway.kill("other");
    gateway.log.append(wireRecord(key, startAt(10 ** 15)));

    const { run: only } = await run(gateway, "A", "a");
    await only.done;

    expect(endedRows(gateway)).toHaveLength(feedRows);
  });

  test("a run that reads a record of 10^12 missing rows ends and names the queue", async () => {
    const gateway = new FakeGateway();
    const { id } = graphOf("A").graph.nodes.find(({ declared }) => declared.inputs.length > 0)!;
    const key = gateway.key(id);
    gateway.log.append(wireRecord(key, startAt(historyRows)));
    const missing = { kind: "EMPTY", epoch: 1, seq: 0, row: historyRows, toRow: 10 ** 12 } as const;
    gateway.log.append(wireRecord(key, missing));

    const { run: only } = await run(gateway, "A", "a");

    await expect(only.done).rejects.toThrow(`(${key}) has a record of`);
  });

  test("a run whose node another build holds follows it, however late its rows come, and lets it have the leases it needs", async () => {
    const gateway = new FakeGateway();
    gateway.leaseMs = 2_000;
    const expected = await undisturbed();
    const { second, key, forged } = await diverging(gateway);
    const { nodes } = graphOf("A").graph;
    const others = nodes.filter(({ id, declared }) => {
      return declared.node.nodeType !== "StreamInput" && gateway.key(id) !== key;
    });
    const holders = () => new Set(others.map(({ id }) => gateway.holder(gateway.key(id))));
    gateway.takeLease(key, "of-another-build");
    expect(holders()).toEqual(new Set(["b"]));

    await new Promise((resolve) => setTimeout(resolve, 5 * gateway.leaseMs));

    expect(second.run.status().connection.state).toBe("connected");
    expect(gateway.runners.has("b")).toBe(true);
    expect(holders()).toEqual(new Set([undefined]));
    const { nextRow, seq, epoch } = { ...gateway.log.fold(key) };
    const leaseEpoch = BigInt(epoch + 1);
    const started = gateway.log.records(key).findLast(({ body }) => body.case === "start")!;
    gateway.log.append({ ...started, leaseEpoch, seq: 0n });
    if (forged.body.case !== "rows") throw new Error("no row to forge");
    for (let at = 0; nextRow + at < historyRows + feedRows; at++) {
      const value = { ...forged.body.value, row: BigInt(nextRow + at) };
      const body = { case: "rows" as const, value };
      gateway.log.append({ ...forged, leaseEpoch, seq: BigInt(seq + at), body });
    }
    gateway.advance(Number.POSITIVE_INFINITY);
    await second.run.done;

    expect(endedRows(gateway).at(-1)).toBe(historyRows + feedRows - 1);
    for (const { id, declared } of others) {
      if (declared.node.nodeType === "position_target") continue;
      expect(valuesOf(gateway, id)).toEqual(expected.get(id));
    }
  }, 60_000);

  test("two builds that each have a part of a strategy's nodes do not wait for each other for ever", async () => {
    const expected = await undisturbed();
    const gateway = new FakeGateway();
    gateway.leaseMs = 3_000;
    gateway.otherBuild.add("b");
    gateway.advance(historyRows - 1);
    const first = await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.has("a"), "the first in the runner set");
    const second = await run(gateway, "A", "b");
    await waitUntil(() => gateway.runners.has("b"), "the second in the runner set");
    const node = graphOf("A").graph.nodes.find(({ declared }) => declared.node.nodeType === "rsi")!;
    const key = gateway.key(node.id);

    gateway.exclude(key);
    await waitUntil(() => gateway.holder(key) === "b", "the other build has the node");
    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([first.run.done, second.run.done]);

    for (const [id, values] of expected) expect(valuesOf(gateway, id)).toEqual(values);
    expect(first.problems.join()).toContain("which this build may not compute");
  }, 60_000);

  test("a run that is not told who holds its node goes on waiting, and ends once it is told that nobody does", async () => {
    const gateway = new FakeGateway();
    gateway.leaseMs = 2_000;
    gateway.isStatsDown = true;
    const { second } = await diverging(gateway);
    let isOver = false;
    const failure = second.run.done.catch((error: unknown) => error);
    void failure.then(() => {
      isOver = true;
    });

    await new Promise((resolve) => setTimeout(resolve, 5 * gateway.leaseMs));
    expect(isOver).toBe(false);
    gateway.isStatsDown = false;

    expect(String(await failure)).toContain("nobody computes");
  }, 60_000);

  test("opens with the gate, states its target at once, and is shut again by a freeze", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { run: only, events } = await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.get("a") === historyRows + 10, "row 10 ended");
    const wanted = only.status().wantedOrders;

    gateway.setGate(true, "paper");
    await waitUntil(
      () => gateway.targets.some((one) => one.update.targets.length > 0),
      "the target",
    );
    const stated = gateway.targets.find((one) => one.update.targets.length > 0)!;
    gateway.advance(historyRows + 20);
    await waitUntil(() => gateway.runners.get("a") === historyRows + 20, "row 20 ended");

    expect(Number(stated.update.ends[0]?.row)).toBe(historyRows + 10);
    expect(stated).toMatchObject({ sessionId: "a", update: { claim: { fence: 1n } } });
    expect(only.status()).toMatchObject({ gate: "ARMED", armed: true, mode: "paper" });
    expect(only.status().wantedOrders).toBe(wanted);

    gateway.setGate(false, "paper");
    await waitUntil(() => !only.status().armed, "the gate shut");
    const sent = gateway.targets.length;
    gateway.advance(Number.POSITIVE_INFINITY);
    await only.done;

    expect(gateway.targets.slice(sent).flatMap((one) => one.update.targets)).toEqual([]);
    expect(events.map((event) => event.kind)).toContain("gate_shut");
  });

  test("states its target at once when its gate opens while an end without a lease is held", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { problems } = await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.get("a") === historyRows + 10, "row 10 ended");
    gateway.holdsUnarmed = true;
    gateway.advance(historyRows + 11);
    await waitUntil(() => gateway.held === 1, "the end of row 11 is held");

    gateway.setGate(true, "paper");
    await waitUntil(() => gateway.runners.get("a") === historyRows + 11, "row 11 ended");

    const last = gateway.targets.at(-1)?.update;
    expect(last?.targets).toHaveLength(1);
    expect(last?.claim?.leaseId).not.toBe("");
    expect(problems).toEqual([]);
  });

  test("an end names the lease in force also when there is nothing to state under it", async () => {
    const gateway = new FakeGateway();
    gateway.setGate(true, "paper");
    const { run: only } = await run(gateway, "A", "a");
    await only.done;

    const later = gateway.targets.slice(-10).map(({ update }) => update);
    expect(later.filter(({ targets }) => targets.length === 0).length).toBeGreaterThan(0);
    expect(later.filter(({ claim }) => claim?.leaseId === "")).toEqual([]);
  });

  test("goes on after the gateway was away, each row still once", async () => {
    const expected = await undisturbed();
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { run: only, events } = await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.get("a") === historyRows + 10, "row 10 ended");

    gateway.setDown(true);
    await waitUntil(() => events.some((event) => event.kind === "unreachable"), "the outage");
    gateway.setDown(false);
    gateway.advance(Number.POSITIVE_INFINITY);
    await only.done;

    for (const [id, values] of expected) expect(valuesOf(gateway, id)).toEqual(values);
    expect(events.find((event) => event.kind === "unreachable")?.message).toMatch("qmtl up");
    expect(only.status().reconnects).toBeLessThanOrEqual(1);
  });

  test("changes its compute context at the row that was agreed on", async () => {
    const expected = await undisturbed();
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 10);
    const { run: only, events } = await run(gateway, "A", "a");
    await waitUntil(() => gateway.runners.get("a") === historyRows + 10, "row 10 ended");

    gateway.openContext("s-A");
    await waitUntil(() => gateway.swapPhase("s-A") === 3, "COMMIT with the feed held");
    gateway.advance(Number.POSITIVE_INFINITY);
    await only.done;

    const { nodes, leaves } = graphOf("A").graph;
    const fromRow = historyRows + 12;
    for (const { id, declared } of nodes) {
      if (declared.inputs.length === 0) continue;
      const later = expected.get(id)!.slice(11);
      expect(valuesOf(gateway, id, "dryrun")).toEqual(later);
    }
    expect(leaves.length).toBe(2);
    expect(endedRows(gateway)).toEqual(
      Array.from({ length: feedRows }, (_, at) => historyRows + at),
    );
    const { shared, swap } = only.status().evaluations;
    expect(shared).toBe(nodes.length * feedRows);
    expect(swap).toBeGreaterThanOrEqual(nodes.length - 1);
    expect(events.filter((event) => event.kind === "swap").at(-1)?.row).toBe(fromRow);
  });
});
