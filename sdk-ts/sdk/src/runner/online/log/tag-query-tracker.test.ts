import { create } from "@bufbuild/protobuf";
import { QueueDescriptorSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { observedClock } from "@qmtl/core/dataflow";
import { afterEach, expect, test } from "vitest";
import { ManualClock } from "../../../testing/index.ts";
import { OnlineClocks } from "../compute/clocks.ts";
import { FeedWatermarks } from "./feed-watermarks.ts";
import type { OnlineInput } from "./input.ts";
import { QueueReplica } from "./queue-replica.ts";
import { TagQueryTracker } from "./tag-query-tracker.ts";
import { type CarriedRecord, wireRecord } from "./wire-records.ts";

const day = 86_400_000;
const none = new Uint8Array();
const start: CarriedRecord = {
  kind: "START",
  epoch: 1,
  start: { build: "b", feedFingerprint: "" },
  origin: { row: 0, warmFromRow: 0, stateHash: "" },
};

/** The records of a queue whose rows end on these days. */
function records(key: string, days: readonly number[]) {
  const rows = days.map((at, row): CarriedRecord => {
    const bucketEndMs = at * day;
    const values = Float64Array.of(row);
    const content = { bucketEndMs, values, inputSeq: [], stateHash: none, windowHash: none };
    return { kind: "ROW", epoch: 1, seq: row, row, rev: 0, knownAtMs: bucketEndMs, content };
  });
  return [start, ...rows].map((record) => wireRecord(key, record));
}

const open: TagQueryTracker[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((tracker) => tracker.stop()));
});

/** A strategy that reads feed A, whose bars end on days 1 to 4, and a query that finds a queue computed in its world. */
async function rig(pins: readonly string[]) {
  const watermarks = new FeedWatermarks();
  const replicaPort = {
    watermarks,
    elapsedMs: () => 0,
    publish: () => {},
    release: () => {},
    snapshot: () => Promise.resolve(),
  };
  const queue = create(QueueDescriptorSchema, {
    computeKey: "c",
    nodeId: "computed",
    queue: "computed",
    intervalSeconds: 86_400n,
    context: { pins: pins.map((source) => ({ source, fingerprint: "f" })) },
  });
  const tracker = new TagQueryTracker({
    ports: {
      clock: new ManualClock(),
      queues: { listQueuesByTag: async () => ({ queues: [queue], nextPageToken: "" }) },
      data: {
        async *consume() {
          yield { records: records("c", [1, 2]), watermarks: [] };
        },
      },
      link: { follow: () => () => {} },
      replicaPort,
      run: { moveOn: () => {}, guard: (work: () => void) => work() },
      reports: { problem: () => {} },
      tasks: { track: () => {} },
    },
    graph: {
      queries: [{ nodeId: "q", name: "q", intervalSeconds: 86_400, node: { queryTags: ["t"] } }],
      computed: [],
      sources: [],
    },
    context: undefined,
    entries: { A: { interval: "1d" }, B: { interval: "1d" }, H: { interval: "1h" } },
    pollMs: 60_000,
    tagMap: { put: () => {} },
  } as unknown as ConstructorParameters<typeof TagQueryTracker>[0]);
  open.push(tracker);
  await tracker.resolve({ rewire: () => {} });
  const identity = {
    computeKey: "a",
    nodeId: "a",
    name: "a",
    source: "A",
    build: "",
    isSource: true,
  };
  const own = new QueueReplica(
    { ...identity, windowMax: 4, start: () => expect.unreachable() },
    replicaPort,
  );
  for (const record of records("a", [1, 2, 3, 4])) own.read(record);
  const clock = observedClock("A", day);
  const input: OnlineInput = { nodeId: "a", source: "A", clock, replica: own, feed: undefined };
  const clocks = new OnlineClocks([input, ...tracker.inputs]);
  for (let next = clocks.next(); next !== undefined; next = clocks.next()) clocks.advance(next);
  return { tracker, clocks, watermarks };
}

test("a computed queue that a tag query found is not waited for on a holiday of its feed", async () => {
  const { tracker, clocks, watermarks } = await rig(["B"]);
  expect(tracker.inputs.map(({ source }) => source)).toEqual(["B"]);
  expect(clocks.next()).toBeUndefined(); // whether B has a bar on day 3 is not known

  watermarks.take("B", 2, 3 * day);

  expect(clocks.next()?.endMs).toBe(3 * day);
  clocks.advance(clocks.next()!);
  expect(clocks.next()).toBeUndefined();
});

test.each([
  ["two feeds", ["A", "B"]],
  ["no feed that is known", []],
  ["a feed with bars of another length", ["H"]],
])("a computed queue of %s has rows of its own, and each is waited for", async (_, pins) => {
  const { tracker, clocks, watermarks } = await rig(pins);
  for (const source of ["A", "B", "H", ""]) watermarks.take(source, 2, 3 * day);

  expect(tracker.inputs.map(({ source }) => source)).toEqual([""]);
  expect(clocks.next()).toBeUndefined();
});
