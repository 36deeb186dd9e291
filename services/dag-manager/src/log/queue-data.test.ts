import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ReleaseReason } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { ConsumeRequestSchema } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  CutReason,
  CutSchema,
  type QueueRecord,
  QueueRecordSchema,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { systemClock } from "@qmtl/service-kit";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { keyOf, sourceKeyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import {
  changedRows,
  end,
  firstBucketEndMs,
  float64s,
  laterStart,
  outcomeOf,
  row,
  rows,
  rowsOf,
  start,
  valuesOf,
} from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";

const close = keyOf("close");
const ret1 = keyOf("ret1");

async function publish(dag: TestDag, records: readonly QueueRecord[], ticket = "s1") {
  const { results } = await dag.data.publish({ ticket, records: [...records] });
  return results.map(outcomeOf);
}

async function history(dag: TestDag, keys: MessageInitShape<typeof ConsumeRequestSchema>["keys"]) {
  const records: QueueRecord[] = [];
  for await (const chunk of dag.data.consume({ keys: keys!, historyOnly: true })) {
    records.push(...chunk.records);
  }
  return records;
}

/** A graph whose `close` is held under epoch 1, with `count` rows. */
async function filled(dag: TestDag, count: number): Promise<void> {
  await submitGraph(dag);
  expect(await lease(dag, "s1", [close])).toEqual([1]);
  await publish(dag, [start(close, 1), ...rows(close, 1, 0, Math.min(count, 900))]);
  for (let at = 900; at < count; at += 900) {
    await publish(dag, rows(close, 1, at, Math.min(900, count - at)));
  }
}

describeEachDatabase("queue data", (databases) => {
  test("what was published is read back in columns, also after a restart", async () => {
    {
      await using dag = await openDag(databases());
      await filled(dag, 2_000);
    }
    await using dag = await openDag(databases());

    const records = await history(dag, [{ computeKey: close }]);

    expect(records[0]!.body.case).toBe("start");
    expect(valuesOf(records)).toEqual(Array.from({ length: 2_000 }, (_, at) => at));
    const found = records.slice(1).map((record) => [Number(record.seq), rowsOf(record).count]);
    expect(found).toEqual([
      [0, 900],
      [900, 900],
      [1_800, 200],
    ]);
  });

  test("a read begins at a seq, a row, a time or the tail, after the START in force", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 20);
    await publish(dag, rows(close, 1, 20, 10));
    const knownAtTime = timestampFromMs(firstBucketEndMs + 20 * 86_400_000);
    const from = async (position: NonNullable<Parameters<typeof history>[1]>[0]["position"]) => {
      const records = await history(dag, [{ computeKey: close, position: position! }]);
      expect(records[0]!.body.case).toBe("start");
      return valuesOf(records);
    };

    expect(await from({ case: "fromSeq", value: 25n })).toEqual([25, 26, 27, 28, 29]);
    expect(await from({ case: "fromRow", value: 18n })).toEqual([
      18,
      19,
      ...(await from({ case: "fromSeq", value: 20n })),
    ]);
    expect((await from({ case: "knownAtTime", value: knownAtTime }))[0]).toBe(20);
    expect(await from({ case: "tail", value: true })).toEqual([]);
    expect(await from({ case: "fromSeq", value: 30n })).toEqual([]);
  });

  test("a read from seq 0 is given the first START, which tells where rows begin, also when others follow it", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    await publish(dag, [start(close, 1, { origin: { row: 41n, warmFromRow: 40n } })]);
    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.STOP });
    await lease(dag, "s2", [close]);
    const fromSeq = { case: "fromSeq" as const, value: 0n };
    const read = () => history(dag, [{ computeKey: close, position: fromSeq }]);

    await publish(dag, [laterStart(close, 2)], "s2");
    const before = await read();
    const first = changedRows(row(close, 2, 0), { row: 41n });
    expect(await publish(dag, [first], "s2")).toEqual(["ok"]);

    expect(before.map(({ leaseEpoch }) => leaseEpoch)).toEqual([1n, 2n]);
    expect(before[0]!.body).toMatchObject({ case: "start", value: { origin: { row: 41n } } });
    expect((await read()).map(({ leaseEpoch }) => leaseEpoch)).toEqual([1n, 2n, 2n]);
  });

  test("the same record again is done; another one under its seq, a gap and a wrong row are void", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 5);

    expect(await publish(dag, [start(close, 1), ...rows(close, 1, 3, 2)])).toEqual([
      "ok",
      "ok",
      "ok",
    ]);
    expect(await publish(dag, [row(close, 1, 4, 99)])).toEqual(["REPEATED_SEQ"]);
    expect(await publish(dag, [row(close, 1, 7)])).toEqual(["FUTURE_SEQ"]);
    const skipping = changedRows(row(close, 1, 5), { row: 6n });
    expect(await publish(dag, [skipping])).toEqual(["WRONG_ROW"]);
    expect(await publish(dag, [row(close, 9, 5)])).toEqual(["EPOCH_WITHOUT_START"]);
    const { results } = await dag.data.publish({ ticket: "s1", records: [row(close, 1, 9)] });
    const knownAtMs = firstBucketEndMs + 4 * 86_400_000;
    expect(results[0]!.state).toMatchObject({ epoch: 1n, nextSeq: 5n, nextRow: 5n, knownAtMs });
    expect(results[0]!.state?.watermarkMs).toBeUndefined();
    const { queues } = await dag.queues.listQueueStats({ computeKeys: [close] });
    expect(queues[0]).toMatchObject({ voidRecords: 5n, holderSessionId: "s1" });
    expect(queues[0]!.state).toEqual(results[0]!.state);
    expect(timestampMs(queues[0]!.lastBucketEndTime!)).toBe(knownAtMs);
  });

  test("a run that overlaps what is there is taken from where the log ends", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 5);
    const run = changedRows(row(close, 1, 3), {
      count: 4,
      bucketEndMs: float64s(...[3, 4, 5, 6].map((at) => firstBucketEndMs + at * 86_400_000)),
      knownAtMs: float64s(...[3, 4, 5, 6].map((at) => firstBucketEndMs + at * 86_400_000)),
      columns: [float64s(3, 4, 5, 6)],
      stateHash: float64s(3, 4, 5, 6),
    });

    expect(await publish(dag, [run])).toEqual(["ok"]);

    expect(valuesOf(await history(dag, [{ computeKey: close }]))).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  test("a START under an epoch that was never granted does not land", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 1);

    expect(await publish(dag, [start(close, 7)])).toEqual(["LEASE_MISSING"]);
  });

  test("nothing follows an END but the END again, and its lease is granted to nobody", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 2);

    expect(await publish(dag, [end(close, 1, 2)])).toEqual(["ok"]);
    expect(await publish(dag, [end(close, 1, 2), row(close, 1, 3)])).toEqual(["ok", "ENDED"]);
    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.STOP });
    expect(await lease(dag, "s2", [close])).toEqual([0]);
  });

  test("a request with an unknown key or too many bytes is refused whole; a torn record is void by itself", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 1);
    const torn = changedRows(row(close, 1, 2), { bucketEndMs: new Uint8Array(7) });
    const wide = changedRows(row(close, 1, 1), { columns: [new Uint8Array(300_000)] });

    await expect(
      publish(dag, [row(close, 1, 1), row(`blake3:${"0".repeat(64)}`, 1, 0)]),
    ).rejects.toMatchObject({
      reason: "QUEUE_NOT_FOUND",
    });
    await expect(publish(dag, [wide])).rejects.toMatchObject({ reason: "RECORD_TOO_LARGE" });
    expect(valuesOf(await history(dag, [{ computeKey: close }]))).toEqual([0]);

    const bodiless = create(QueueRecordSchema, { computeKey: close, leaseEpoch: 1n, seq: 2n });
    expect(await publish(dag, [row(close, 1, 1), torn, bodiless, row(close, 1, 2)])).toEqual([
      "ok",
      "MALFORMED",
      "MALFORMED",
      "ok",
    ]);
    expect(valuesOf(await history(dag, [{ computeKey: close }]))).toEqual([0, 1, 2]);
  });

  test("history and what comes after it are one stream of several keys, each in seq order", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 3);
    expect(await lease(dag, "s1", [ret1])).toEqual([1]);
    const stream = dag.data.consume({ keys: [{ computeKey: close }, { computeKey: ret1 }] });
    const seen = new Map<string, number[]>([
      [close, []],
      [ret1, []],
    ]);
    const isDone = () => seen.get(close)!.length === 8 && seen.get(ret1)!.length === 2;

    let hasMore = true;
    for await (const { records } of stream) {
      for (const record of records) seen.get(record.computeKey)!.push(...valuesOf([record]));
      if (hasMore && seen.get(close)!.length === 3) {
        hasMore = false;
        await publish(dag, [row(close, 1, 3), start(ret1, 1), ...rows(ret1, 1, 0, 2)]);
        await publish(dag, rows(close, 1, 4, 4));
      }
      if (isDone()) break;
    }

    expect(seen.get(close)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(seen.get(ret1)).toEqual([0, 1]);
  });

  test.each([
    ["tail", { case: "tail" as const, value: true }],
    ["its next seq", { case: "fromSeq" as const, value: 5_000n }],
    ["its next row", { case: "fromRow" as const, value: 5_000n }],
  ])(
    "a live reader that begins at the end of a long queue, by %s, gets the next row",
    async (_, position) => {
      await using dag = await openDag(databases());
      await filled(dag, 5_000);
      const stream = dag.data.consume({ keys: [{ computeKey: close, position }] });
      const read = async (): Promise<number[]> => {
        for await (const { records } of stream) {
          const values = valuesOf(records);
          if (values.length > 0) return values;
          await publish(dag, [row(close, 1, 5_000)]);
        }
        return [];
      };

      expect(await read()).toEqual([5_000]);
    },
  );

  test("an unknown key ends the read at once", async () => {
    await using dag = await openDag(databases());

    await expect(history(dag, [{ computeKey: close }])).rejects.toMatchObject({
      reason: "QUEUE_NOT_FOUND",
    });
  });

  test("a reader that has read beyond the end of the log is refused: the store is older than what it has read", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 3);
    const from = (seq: bigint) => [
      { computeKey: close, position: { case: "fromSeq" as const, value: seq } },
    ];

    await expect(history(dag, from(4n))).rejects.toMatchObject({
      reason: "TRIMMED",
      metadata: { compute_key: close, seq: "3" },
    });
    expect(valuesOf(await history(dag, from(3n)))).toEqual([]);
  });

  test("a file that changed is refused, unless the START says that it cuts", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const bars = sourceKeyOf("bars");
    const release = async (epoch: number) => {
      const leases = [{ computeKey: bars, leaseEpoch: BigInt(epoch) }];
      await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.STOP });
      return lease(dag, "s1", [bars]);
    };
    await lease(dag, "s1", [bars]);
    await publish(dag, [start(bars, 1, { feedFingerprint: "f1" }), row(bars, 1, 0)]);

    expect(await release(1)).toEqual([2]);
    expect(await publish(dag, [start(bars, 2, { feedFingerprint: "f2" })])).toEqual([
      "FEED_CHANGED",
    ]);
    const cut = create(CutSchema, { reason: CutReason.FEED_GAP });
    expect(await publish(dag, [start(bars, 2, { feedFingerprint: "f2", cut })])).toEqual(["ok"]);
  });

  test("ten records are published together: they take less time than five calls of one", async () => {
    await using dag = await openDag(databases());
    await filled(dag, 1);
    const tookMs = new Map<number, number[]>([
      [1, []],
      [10, []],
    ]);

    for (let round = 0, at = 1; round < 60; round += 1) {
      for (const [count, times] of tookMs) {
        const before = systemClock.monotonicMs();
        await publish(dag, rows(close, 1, at, count));
        times.push(systemClock.monotonicMs() - before);
        at += count;
      }
    }

    const [one = 0, ten = 0] = [...tookMs.values()].map((times) => times.sort((a, b) => a - b)[30]);
    expect(ten).toBeLessThan(5 * one);
  });
});
