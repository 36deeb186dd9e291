import { fileURLToPath } from "node:url";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { describe, expect, test } from "vitest";
import {
  column,
  ema,
  PositionTargetNode,
  rsi,
  Strategy,
  StreamInput,
  sma,
} from "../../../strategy/index.ts";
import { FakeSnapshots } from "../../../testing/fake-snapshots.ts";
import { FakeLog, ManualClock, replayBars } from "../../../testing/index.ts";
import { identifyStrategy } from "../../strategy-loading/identify-strategy.ts";
import { FeedWatermarks } from "../log/feed-watermarks.ts";
import { isInputKnown, type OnlineInput } from "../log/input.ts";
import { QueueReplica } from "../log/queue-replica.ts";
import { type CarriedRecord, singleRecords, wireRecord } from "../log/wire-records.ts";
import { FeedCache, mergeOnlineGraphs, type OnlineGraph, onlineGraph } from "../session/graph.ts";
import { ContextExecutor } from "./context-executor.ts";
import { isKept } from "./history.ts";
import {
  keptRowsMax,
  lookBuckets,
  type NeededRows,
  RowRetention,
  RowTrimmer,
} from "./retention.ts";
import { stateLengths } from "./snapshot-history.ts";
import { SnapshotCache } from "./snapshots.ts";
import { wire } from "./wiring.ts";

const historyRows = 60;
/** The longest window of the strategies here. */
const windowRows = 40;
const noBytes = new Uint8Array();

/** A window over a recursive node and a target, or only windows: nodes without any state. */
class Waves extends Strategy {
  readonly hasState: boolean;
  constructor(hasState: boolean) {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
    this.hasState = hasState;
  }
  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["close"] });
    const close = column(bars, "close");
    if (!this.hasState) {
      this.addNodes([sma(sma(close, 9), windowRows)]);
      return;
    }
    const smooth = ema(close, 9);
    const signal = rsi(sma(smooth, 3), 7);
    const thresholds = { longEnter: 60, longExit: 40 };
    this.addNodes([
      sma(smooth, windowRows),
      new PositionTargetNode({ signal, instrument: "X", thresholds }),
    ]);
  }
}

const identified = new Map(
  [true, false].map((hasState) => {
    const module = fileURLToPath(import.meta.url);
    return [hasState, identifyStrategy(new Waves(hasState), { worldId: "w1", module })] as const;
  }),
);

const config = { instruments: {}, sources: {} };

/** Numbers in [0, 1), the same for the same seed. */
function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** One context over the product's own replicas, executor, snapshots and retention, with a simulated log and leases. */
class Runner {
  readonly graph: OnlineGraph;
  readonly log = new FakeLog();
  readonly snapshots = new FakeSnapshots();
  readonly problems: string[] = [];
  readonly replicas = new Map<string, QueueReplica>();
  readonly input: OnlineInput;
  readonly executor: ContextExecutor;
  readonly cache: SnapshotCache;
  readonly #trimmer: RowTrimmer;
  readonly #retention: RowRetention;
  readonly #all: readonly QueueReplica[];
  readonly #offsets = new Map<QueueReplica, number>();
  readonly #sent: WireRecord[] = [];
  /** Ends of the buckets that were computed but not ended. */
  readonly #open: number[] = [];
  #takenMs = Number.NEGATIVE_INFINITY;
  #sourceSeq = 0;
  #epoch = 1;
  #mustComplete = false;
  /** How often queues were read again from their first record. */
  completions = 0;
  /** Calls for snapshots fail. */
  isAway = false;

  static async of(hasState: boolean, feedRows: number): Promise<Runner> {
    const rows = replayBars(historyRows, feedRows);
    const graph = await onlineGraph(
      identified.get(hasState)!,
      config,
      new FeedCache(async () => rows),
    );
    return new Runner(graph);
  }

  private constructor(graph: OnlineGraph) {
    this.graph = graph;
    const [source] = graph.sources;
    if (source === undefined) throw new Error("no source");
    const replica = this.#replica(source.nodeId, true);
    const { clock, feed, nodeId } = source;
    this.input = { nodeId, source: "feed", clock, replica, feed };
    for (const { id } of graph.computed) this.replicas.set(id, this.#replica(id, false));
    this.#all = [replica, ...this.replicas.values()];
    const merged = mergeOnlineGraphs([graph]);
    const wiring = wire(merged, [this.input], new Map());
    const reports = { event: () => {}, problem: (what: string) => this.problems.push(what) };
    this.cache = new SnapshotCache({
      queues: createClient(
        QueueService,
        createRouterTransport(({ service }) =>
          service(QueueService, {
            getSnapshots: ({ computeKeys }) => {
              if (this.isAway) throw new Error("nobody there");
              return { snapshots: this.snapshots.get(computeKeys) };
            },
          }),
        ),
      ),
      clock: new ManualClock(),
      replicas: this.replicas,
      stateLengths: stateLengths(wiring),
      signal: new AbortController().signal,
      reports,
    });
    this.executor = new ContextExecutor({
      graph: merged,
      wiring,
      replicas: this.replicas,
      cache: this.cache,
      reports,
      listener: {
        hasRoom: true,
        take: ({ bucketEndMs }) => {
          if (bucketEndMs > this.#takenMs) this.#open.push(bucketEndMs);
          this.#takenMs = Math.max(this.#takenMs, bucketEndMs);
        },
        evaluated: () => {},
        warmedUp: () => {},
        completePast: () => {
          this.#mustComplete = true;
        },
      },
    });
    this.#retention = new RowRetention(this.cache, () => {});
    this.#trimmer = new RowTrimmer({ inputs: [this.input] }, { contexts: [this] });
    this.executor.enable();
    this.#source({
      kind: "START",
      epoch: 1,
      start: { build: "b", feedFingerprint: "" },
      origin: { row: historyRows, warmFromRow: 0, stateHash: "" },
    });
    this.settle();
  }

  neededRows(endMs: number): NeededRows | undefined {
    return this.executor.isSettled
      ? this.#retention.look(this.executor.partsUntil(endMs))
      : undefined;
  }

  freeRows(needed: NeededRows): void {
    for (const replica of this.replicas.values()) {
      replica.freeBefore(needed.get(this.input.clock.key) ?? Number.NEGATIVE_INFINITY);
    }
  }

  /** Makes the next row of the source effective. */
  feed(isMissing: boolean): void {
    const { feed, replica } = this.input;
    const row = replica.nextRow;
    const bucketEndMs = feed!.bucketEndMs(row);
    const seq = this.#sourceSeq++;
    const base = { epoch: 1, seq, row, knownAtMs: bucketEndMs };
    if (isMissing) this.#source({ kind: "EMPTY", toRow: row, ...base });
    else {
      const values = feed!.values(row);
      const hashes = { stateHash: noBytes, windowHash: noBytes };
      this.#source({
        kind: "ROW",
        rev: 0,
        content: { bucketEndMs, values, inputSeq: [], ...hashes },
        ...base,
      });
    }
    this.settle();
  }

  /** Grants this session the leases of some nodes, under new epochs. */
  grant(replicas: Iterable<QueueReplica>): void {
    for (const replica of replicas) replica.granted(++this.#epoch, Number.POSITIVE_INFINITY);
    this.settle();
  }

  /** Stores the states of held nodes, as far as the log has their rows. */
  storeSnapshots(): void {
    for (const [id, replica] of this.replicas) {
      const state = this.executor.stateOf(id);
      const found = state && replica.row(state.row);
      if (state === undefined || found?.content === undefined) continue;
      const { computeKey } = replica;
      const { row, hash: stateHash, state: bytes } = state;
      const place = { computeKey, seq: BigInt(found.seq), row: BigInt(row) };
      this.snapshots.put([{ ...place, stateHash, state: bytes }]);
    }
  }

  /** Ends the oldest buckets until `left` remain. */
  end(left: number): void {
    while (this.#open.length > left) this.#trimmer.ended(this.#open.shift()!);
  }

  /** Lets everything continue that can. */
  settle(): void {
    for (let isMoving = true; isMoving; ) {
      for (const record of this.#sent.splice(0)) this.log.append(record);
      isMoving = false;
      for (const replica of this.#all) {
        const from = this.#offsets.get(replica) ?? 0;
        const { records, offset } = this.log.read(replica.computeKey, 0, from);
        for (const record of records) replica.read(record);
        this.#offsets.set(replica, offset);
        isMoving ||= records.length > 0;
      }
      this.executor.pump();
      if (this.#mustComplete) this.#complete();
      isMoving ||= this.#sent.length > 0;
    }
  }

  /** Largest number of rows kept of any queue, less the buckets that were not ended. */
  get keptRows(): number {
    return Math.max(...this.#all.map(({ keptRows }) => keptRows)) - this.#open.length;
  }

  /** Every effective row of every computed node, bit for bit, without its writer. */
  get published(): readonly string[] {
    return [...this.replicas.values()].flatMap(({ computeKey, identity }) =>
      this.log.records(computeKey).flatMap((record) =>
        [...singleRecords(record)].flatMap(({ kind, row, seq, content }) => {
          if (kind === "START") return [];
          const {
            values = [],
            inputSeq = [],
            stateHash = noBytes,
            windowHash = noBytes,
          } = content ?? {};
          const hashes = [stateHash, windowHash].map((hash) => Buffer.from(hash).toString("hex"));
          return [[row, identity.name, kind, seq, ...values, ...inputSeq, ...hashes].join()];
        }),
      ),
    );
  }

  #complete(): void {
    this.completions++;
    this.#mustComplete = false;
    for (const replica of this.#all.filter(({ isWhole }) => !isWhole)) {
      const whole = replica.copy();
      for (const record of this.log.records(replica.computeKey)) whole.read(record);
      replica.complete(whole);
    }
    this.executor.pump();
  }

  #source(record: CarriedRecord): void {
    this.log.append(wireRecord(this.input.replica.computeKey, record));
  }

  #replica(nodeId: string, isSource: boolean): QueueReplica {
    const { nodes } = this.graph.identified.graph;
    const { declared } = nodes.find(({ id }) => id === nodeId)!;
    const start = () => ({
      content: { build: "b", feedFingerprint: "" },
      origin: { row: this.input.replica.nextRow, warmFromRow: 0, stateHash: "" },
    });
    const { name } = declared;
    const identity = {
      computeKey: nodeId,
      nodeId,
      name,
      build: "b",
      isSource,
      windowMax: 64,
      start,
    };
    return new QueueReplica(identity, {
      watermarks: new FeedWatermarks(),
      elapsedMs: () => 0,
      publish: ({ computeKey }, records) =>
        this.#sent.push(...records.map((record) => wireRecord(computeKey, record))),
      release: () => {},
      snapshot: () => Promise.resolve(),
    });
  }
}

/** Lets the answers to calls for snapshots arrive. */
const answered = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const feedRows = keptRowsMax + 1_000;
const hole = (row: number): boolean => row % 41 === 7 || (row > 300 && row < 330);
const calm = new Map<boolean, readonly string[]>();

/** What a run that is never disturbed and frees nothing publishes up to a row. */
async function calmUntil(hasState: boolean, rows: number): Promise<readonly string[]> {
  let published = calm.get(hasState);
  if (published === undefined) {
    const runner = await Runner.of(hasState, feedRows);
    runner.grant(runner.replicas.values());
    for (let row = 0; row < feedRows; row++) runner.feed(hole(row));
    published = runner.published;
    calm.set(hasState, published);
  }
  return published.filter((text) => Number(text.split(",", 1)[0]) < historyRows + rows);
}

describe.each([true, false])("a run whose nodes have state: %s", (hasState) => {
  test.each([1, 2, 3])(
    "frees rows behind its snapshots, and everything a takeover asks for is there (seed %i)",
    async (seed) => {
      const next = numbersOf(seed);
      const rows = 2_000;
      const runner = await Runner.of(hasState, feedRows);
      runner.grant(runner.replicas.values());
      let kept = 0;
      for (let row = 0; row < rows; row++) {
        runner.feed(hole(row));
        if (next() < 0.01) runner.storeSnapshots();
        if (next() < 0.005) {
          const lost = [...runner.replicas.values()].filter(() => next() < 0.5);
          for (const replica of lost) replica.leaseLost(replica.epoch + 1);
          runner.settle();
          runner.grant(lost);
        }
        runner.end(Math.floor(next() * 64));
        kept = Math.max(kept, runner.keptRows);
        if (row % 16 === 0) await answered();
      }

      expect(runner.published).toEqual(await calmUntil(hasState, rows));
      expect(runner.completions).toBe(0);
      expect(runner.problems).toEqual([]);
      expect(kept).toBeLessThan(hasState ? 1_200 : 500);
    },
  );
});

test("without snapshots keeps its stated maximum, and a takeover reads the log again to the same bits", async () => {
  const runner = await Runner.of(true, feedRows + 1);
  runner.isAway = true;
  runner.grant(runner.replicas.values());
  let kept = 0;
  for (let row = 0; row < feedRows; row++) {
    runner.feed(hole(row));
    if (row % 512 === 0) runner.storeSnapshots();
    runner.end(3);
    kept = Math.max(kept, runner.keptRows);
    if (row % 256 === 0) await answered();
  }
  expect(kept).toBeGreaterThan(keptRowsMax - lookBuckets);
  expect(kept).toBeLessThanOrEqual(keptRowsMax + windowRows);
  expect(runner.completions).toBe(0);

  const lost = [...runner.replicas.values()];
  for (const replica of lost) replica.leaseLost(replica.epoch + 1);
  runner.settle();
  runner.grant(lost);

  expect(lost.every(({ phase }) => phase === "HOLDING")).toBe(true);
  expect(runner.completions).toBe(1);
  expect(runner.problems).toEqual([]);
  expect(runner.published).toEqual(await calmUntil(true, feedRows));
  runner.feed(false);
  expect(lost.map(({ nextRow }) => nextRow)).toEqual(lost.map(() => historyRows + feedRows + 1));
});

test.each([
  { lag: 700, completions: 0 },
  { lag: keptRowsMax + 400, completions: 1 },
])("a queue that stood still for $lag rows is taken over where its log ends", async (story) => {
  const runner = await Runner.of(true, feedRows);
  const all = [...runner.replicas.values()];
  runner.grant(all);
  // No target depends on it, so everything else continues.
  const still = all.filter(({ identity }) => identity.name.endsWith(`,${windowRows})`));
  for (let row = 0; row < 400 + story.lag; row++) {
    if (row === 400) for (const replica of still) replica.leaseLost(replica.epoch + 1);
    runner.feed(hole(row));
    if (row % 100 === 0) runner.storeSnapshots();
    runner.end(3);
    if (row % 64 === 0) await answered();
  }
  expect(still.map(({ nextRow }) => nextRow)).toEqual([historyRows + 400]);
  expect(runner.completions).toBe(0);

  runner.grant(still);

  expect(runner.completions).toBe(story.completions);
  expect(still.map(({ phase }) => phase)).toEqual(["HOLDING"]);
  expect(runner.problems).toEqual([]);
  expect(runner.published).toEqual(await calmUntil(true, 400 + story.lag));
});

test("rows that have been freed are neither stood among nor taken for missing", async () => {
  const runner = await Runner.of(true, 100);
  runner.grant(runner.replicas.values());
  for (let row = 0; row < 100; row++) runner.feed(false);
  const { replica, feed } = runner.input;
  const until = (row: number) => runner.executor.partsUntil(feed!.bucketEndMs(row));

  replica.freeBefore(historyRows + 50);

  expect(replica.row(historyRows + 49)).toBeUndefined();
  expect(() => isInputKnown(runner.input, historyRows + 49)).toThrow("has been freed");
  expect(isInputKnown(runner.input, historyRows + 50)).toBe(true);
  expect(isKept(until(historyRows + 50))).toBe(true);
  expect(isKept(until(historyRows + 49))).toBe(false);
  expect(isKept(until(historyRows + 10))).toBe(false);
});

test("a context that was stopped keeps the states to be stored, also when a lease is answered later", async () => {
  const runner = await Runner.of(true, feedRows);
  const all = [...runner.replicas.values()];
  runner.grant(all);
  for (let row = 0; row < 10; row++) runner.feed(false);

  runner.executor.stop();
  const [first] = all;
  first!.leaseLost(first!.epoch + 1);
  runner.executor.enable();
  runner.settle();
  runner.feed(false);

  expect(runner.executor.heldCount).toBe(all.length);
  expect(all.map(({ nextRow }) => nextRow)).toEqual(all.map(() => historyRows + 10));
});
