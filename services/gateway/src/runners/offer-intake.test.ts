import { create, fromJson } from "@bufbuild/protobuf";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { OfferedRow } from "@qmtl/core/queues";
import { ManualClock, waitUntil } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import type { PublishPorts } from "../feed/publish-rows.ts";
import { OfferIntake } from "./offer-intake.ts";

const feedKey = "blake3:feed";

/** An intake over a log that answers when it is told to, and a barrier that lets nothing pass. */
function openRig() {
  const offered: (readonly OfferedRow[])[] = [];
  const appended: number[] = [];
  const clock = new ManualClock();
  const answers: (() => void)[] = [];
  const publish: PublishPorts = {
    dag: {
      unary: async (method, request) => {
        const { records = [] } = request as { readonly records?: readonly unknown[] };
        appended.push(records.length);
        await new Promise<void>((resolve) => answers.push(resolve));
        const results = records.map(() => ({ effective: true }));
        return fromJson(method.output, { results });
      },
      stream: () => {
        throw new Error("nothing is read here");
      },
    },
    keys: {
      learn: async () => {},
      replayKey: (computeKey) =>
        computeKey === feedKey
          ? { ...{ computeKey, source: "f", nodeId: "n" }, columns: [], isReplay: true }
          : undefined,
      valuesOf: () => [],
    },
    feeds: {
      offer: async (_source, _record, rows, { signal }) => {
        offered.push(rows);
        return {
          passed: () =>
            new Promise((_, reject) => {
              signal.addEventListener("abort", () => reject(signal.reason as Error), {
                once: true,
              });
            }),
          end: () => {},
        };
      },
      effective: async () => {},
      feedEnded: async () => {},
      refresh: async () => {},
      showAgain: () => {},
      lookAgain: () => {},
    },
    live: { appended: () => {}, hold: () => {}, unsure: () => {} },
  };
  const intake = new OfferIntake({
    publish,
    context: {
      principal: { name: "r", role: "researcher" },
      session: {
        ...{ sessionId: "s", worldId: "w", strategyIds: ["a"], sources: ["f"] },
        rights: ["feed", "compute"],
      },
      signal: new AbortController().signal,
      timeoutMs: undefined,
      metadata: new Map(),
    },
    ticket: () => "t",
    clock,
    voided: () => {},
  });
  const answer = async () => {
    await waitUntil(() => answers.length > 0, { what: "an append" });
    answers.shift()?.();
  };
  return { intake, offered, appended, answer, clock };
}

const computed = (count: number) =>
  Array.from({ length: count }, (_, seq) =>
    create(QueueRecordSchema, {
      ...{ computeKey: "blake3:node", leaseEpoch: 1n, seq: BigInt(seq) },
      body: { case: "empty", value: { row: BigInt(seq), toRow: BigInt(seq) } },
    }),
  );

const rowsOf = (from: number, count: number) =>
  Array.from({ length: count }, (_, at) =>
    create(QueueRecordSchema, {
      ...{ computeKey: feedKey, leaseEpoch: 1n, seq: BigInt(from + at) },
      body: { case: "empty", value: { row: BigInt(from + at), toRow: BigInt(from + at) } },
    }),
  );

test("while 20,000 computed records wait for the log, no further frame is taken", async () => {
  const { intake, appended, answer } = openRig();
  let isTaken = false;

  // 1,000 are on their way to the log at once.
  const taken = intake.compute(computed(21_000)).then(() => {
    isTaken = true;
  });
  await waitUntil(() => appended.length === 1, { what: "the first append" });
  expect(isTaken).toBe(false);
  await answer();
  await taken;

  expect(appended).toEqual([1_000, 1_000]);
  intake.stop();
});

test("a stream that ends does not wait for room", async () => {
  const { intake } = openRig();
  const taken = intake.compute(computed(30_000));
  intake.stop();
  await taken;
});

test("records that nobody waits for are appended once their slice is over, whether it was taken or not", async () => {
  for (const end of [async () => {}, () => Promise.reject(new Error("held for too long"))]) {
    const { intake, appended } = openRig();
    await intake.computeAfter(computed(2), end());
    expect(appended).toEqual([]);
    await waitUntil(() => appended.length === 1, { what: "the append" });
    expect(appended).toEqual([2]);
    intake.stop();
  }
});

test("records that are held back are not passed by later ones, and for 100 ms at most", async () => {
  const { intake, appended, answer, clock } = openRig();
  const over = new Promise(() => {});
  await intake.computeAfter(computed(2), over);
  await intake.compute(computed(3));
  await answer();
  await intake.computeAfter(computed(4), over);
  clock.advance(99);
  await new Promise((resolve) => setImmediate(resolve));
  const before = [...appended];
  clock.advance(1);
  await waitUntil(() => appended.length === 2, { what: "the append" });

  expect([before, appended]).toEqual([[5], [5, 4]]);
  intake.stop();
});

test("of a feed 256 records wait at most, of which 64 are offered together", async () => {
  const { intake, offered } = openRig();
  intake.offer(rowsOf(0, 256));
  await waitUntil(() => offered.length === 1, { what: "the offer" });

  expect(offered[0]).toHaveLength(64);
  expect(() => intake.offer(rowsOf(256, 1))).toThrow("256 records of one feed wait");
  // One that waits already takes no further place.
  expect(() => intake.offer(rowsOf(200, 1))).not.toThrow();
  intake.stop();
});

test("a record that comes late is offered before those behind it", async () => {
  const { intake, offered } = openRig();
  intake.offer(rowsOf(5, 3));
  await waitUntil(() => offered.length === 1, { what: "the offer" });
  intake.offer(rowsOf(4, 1));
  await waitUntil(() => offered.length === 2, { what: "the offer in its order" });

  expect(offered.map((rows) => rows.map(({ row }) => row))).toEqual([
    [5, 6, 7],
    [4, 5, 6, 7],
  ]);
  intake.stop();
});
