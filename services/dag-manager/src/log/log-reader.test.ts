import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { expect, test } from "vitest";
import { keyOf } from "../testing/graphs.ts";
import { row, rows, rowsOf, start, valuesOf } from "../testing/records.ts";
import { behindRecordsMax, LogReader } from "./log-reader.ts";
import { LogTail, tailEntriesMax } from "./log-tail.ts";
import type { LogEntry, QueueLog } from "./queue-log.ts";
import { mergeRuns, sliceRun } from "./record-run.ts";

const key = keyOf("close");

/** A log in memory that only reads; its entries are single records. */
function fakeLog(tail: LogTail) {
  const entries: LogEntry[] = [];
  let reads = 0;
  const log: QueueLog = {
    append: () => Promise.reject(new Error("reads only")),
    heads: async () =>
      new Map([[key, { nextOffset: entries.length, nextSeq: entries.length - 1 }]]),
    locate: async () => ({ offset: 0, seq: 0, start: undefined }),
    read: async (from, perKeyMax) => {
      reads += 1;
      return entries.slice(from[0]!.offset, from[0]!.offset + perKeyMax);
    },
  };
  const add = (records: readonly QueueRecord[]): void => {
    const added = records.map((record, index) => {
      return { computeKey: key, offset: entries.length + index, seq: Number(record.seq), record };
    });
    entries.push(...added);
    tail.add(added);
  };
  return { log, add, reads: () => reads };
}

const everything = [{ computeKey: key, position: { kind: "first" as const } }];

test("a reader that keeps up is served from memory", async () => {
  const tail = new LogTail();
  const { log, add, reads } = fakeLog(tail);
  add([start(key, 1), ...rows(key, 1, 0, 3)]);
  const reader = await LogReader.open(log, tail, everything, false);
  expect(valuesOf(await reader.next())).toEqual([0, 1, 2]);

  for (let at = 3; at < 2 * tailEntriesMax; at += 1) {
    add([row(key, 1, at)]);
    expect(valuesOf(await reader.next())).toEqual([at]);
  }

  expect(reads()).toBe(1);
  reader.close();
});

test("a reader that was slow for a while goes on from the log, without a gap", async () => {
  const tail = new LogTail();
  const { log, add } = fakeLog(tail);
  add([start(key, 1), ...rows(key, 1, 0, 3)]);
  const reader = await LogReader.open(log, tail, everything, false);
  await reader.next();

  for (let at = 3; at < behindRecordsMax; at += 1) add([row(key, 1, at)]);
  const seen: number[] = [];
  for (let records = await reader.next(); records.length > 0; records = await reader.next()) {
    seen.push(...valuesOf(records));
  }

  expect(seen).toEqual(Array.from({ length: behindRecordsMax - 3 }, (_, at) => at + 3));
  reader.close();
});

test("a live reader more than 4,096 records behind is told where to resume", async () => {
  const tail = new LogTail();
  const { log, add } = fakeLog(tail);
  add([start(key, 1), ...rows(key, 1, 0, 3)]);
  const reader = await LogReader.open(log, tail, everything, false);
  await reader.next();

  for (let at = 3; at <= behindRecordsMax + 3; at += 1) add([row(key, 1, at)]);

  await expect(reader.next()).rejects.toMatchObject({
    reason: "RESUME_FROM",
    metadata: { compute_key: key, seq: "3" },
  });
  reader.close();
});

test("a read of history is never too far behind", async () => {
  const tail = new LogTail();
  const { log, add } = fakeLog(tail);
  add([start(key, 1), ...rows(key, 1, 0, 3 * behindRecordsMax)]);
  const reader = await LogReader.open(log, tail, everything, true);

  let count = 0;
  while (!reader.isAtEnd) count += valuesOf(await reader.next()).length;

  expect(count).toBe(3 * behindRecordsMax);
  reader.close();
});

test("rows are joined into runs of at most 1,000, and cut out of them again unchanged", () => {
  const single = rows(key, 1, 0, 2_500);

  const merged = mergeRuns(single);

  expect(merged.map((record) => rowsOf(record).count)).toEqual([1_000, 1_000, 500]);
  expect(sliceRun(merged[1]!, 234, 1)).toEqual(single[1_234]);
  expect(valuesOf(mergeRuns([...merged]))).toEqual(valuesOf(single));
});
