import { observedClock } from "@qmtl/core/dataflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReplayFeed } from "../../../sources/replay-feed.ts";
import { FeedWatermarks } from "./feed-watermarks.ts";
import { inputRowEndMs, type OnlineInput } from "./input.ts";
import { QueueReplica } from "./queue-replica.ts";
import { type CarriedRecord, wireRecord } from "./wire-records.ts";

const firstRow = 1_000;
const intervalMs = 1_000;
const none = new Uint8Array();

function replica(): QueueReplica {
  const identity = {
    computeKey: "k",
    nodeId: "n",
    name: "n",
    build: "b",
    isSource: false,
    windowMax: 4,
    start: (): never => {
      throw new Error("only read");
    },
  };
  return new QueueReplica(identity, {
    watermarks: new FeedWatermarks(),
    elapsedMs: () => 0,
    publish: () => {},
    release: () => {},
    snapshot: () => Promise.resolve(),
  });
}

/** An input without a file: its bucket ends are known only from its rows. */
function inputOf(of: QueueReplica): OnlineInput {
  const clock = observedClock("k", intervalMs);
  return { nodeId: "n", source: "", clock, replica: of, feed: undefined };
}

type Step =
  | { readonly kind: "rows" | "missing"; readonly count: number }
  | { readonly kind: "free"; readonly back: number };

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom("rows", "missing"),
      count: fc.integer({ min: 1, max: 400 }),
    }),
    fc.record({ kind: fc.constant("free"), back: fc.integer({ min: -3, max: 900 }) }),
  ) as fc.Arbitrary<Step>,
  { minLength: 1, maxLength: 40 },
);

/** Plays the records of a story and what happens between them. */
function play(
  story: readonly Step[],
  take: (record: CarriedRecord) => void,
  free: (back: number) => void,
): void {
  let seq = 0;
  let row = firstRow;
  let knownAtMs = 0;
  const origin = { row, warmFromRow: row, stateHash: "" };
  take({ kind: "START", epoch: 1, start: { build: "b", feedFingerprint: "" }, origin });
  for (const step of story) {
    if (step.kind === "free") free(step.back);
    else if (step.kind === "missing") {
      take({ kind: "EMPTY", epoch: 1, seq: seq++, row, toRow: row + step.count - 1, knownAtMs });
      row += step.count;
    } else {
      for (let at = 0; at < step.count; at++, row++) {
        // Not a whole interval after the previous row, so that it cannot be guessed.
        const bucketEndMs = row * intervalMs + 7 * at;
        knownAtMs = Math.max(knownAtMs, bucketEndMs);
        const values = Float64Array.of(row);
        const content = { bucketEndMs, values, inputSeq: [], stateHash: none, windowHash: none };
        take({ kind: "ROW", epoch: 1, seq: seq++, row, rev: 0, knownAtMs, content });
      }
    }
  }
}

test("the end of a row that is 10^15 rows after the last one known is counted from it at once", () => {
  const far = 10 ** 15;
  const queue = replica();
  const origin = { row: far, warmFromRow: far, stateHash: "" };
  queue.read(
    wireRecord("k", {
      kind: "START",
      epoch: 1,
      start: { build: "b", feedFingerprint: "" },
      origin,
    }),
  );
  const rows = {
    firstRow: 0,
    startRow: 0,
    endRow: 2,
    bucketEndMs: Float64Array.of(1_000, 2_500),
    fingerprint: "f",
    column: () => Float64Array.of(1, 2),
  };
  const input = { ...inputOf(queue), feed: new ReplayFeed(rows, ["value"]) };

  expect(inputRowEndMs(input, far - 1)).toBe(2_500 + (far - 2) * intervalMs);
  expect(inputRowEndMs(input, 1)).toBe(2_500);
  expect(inputRowEndMs(input, -far)).toBeNaN();
  expect(inputRowEndMs(inputOf(queue), far - 1)).toBeNaN();
});

describe("the rows of a queue", () => {
  test("that were not freed are there as they were, and so are the ends of later buckets", () => {
    fc.assert(
      fc.property(steps, (story) => {
        const all = replica();
        const trimmed = replica();
        let isFreed = false;
        play(
          story,
          (record) => {
            all.read(wireRecord("k", record));
            trimmed.read(wireRecord("k", record));
          },
          (back) => {
            const from = trimmed.firstRow;
            const until = Math.min(trimmed.nextRow - 1, trimmed.nextRow - back);
            trimmed.freeBefore(trimmed.nextRow - back);
            expect(trimmed.firstRow).toBe(Math.max(until, from));
            isFreed ||= until > from;
          },
        );

        expect([trimmed.isTrimmed, trimmed.isWhole]).toEqual([isFreed, !isFreed]);
        expect(trimmed.keptRows).toBe(all.nextRow - trimmed.firstRow);
        for (let row = firstRow - 1; row <= all.nextRow; row++) {
          const isThere = row >= trimmed.firstRow;
          expect(trimmed.row(row)).toEqual(isThere ? all.row(row) : undefined);
          expect(trimmed.isFreed(row)).toBe(isFreed && !isThere);
          if (!isThere) continue;
          expect(inputRowEndMs(inputOf(trimmed), row)).toBe(inputRowEndMs(inputOf(all), row));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("that were freed come back from the same queue read again", () => {
    fc.assert(
      fc.property(steps, (story) => {
        const all = replica();
        const trimmed = replica();
        const take = (record: CarriedRecord): void => trimmed.read(wireRecord("k", record));
        play(story, take, (back) => trimmed.freeBefore(trimmed.nextRow - back));
        play(
          story,
          (record) => all.read(wireRecord("k", record)),
          () => {},
        );

        trimmed.complete(all);

        expect([trimmed.isWhole, trimmed.isTrimmed]).toEqual([true, false]);
        expect(trimmed.keptRows).toBe(all.keptRows);
        for (let row = firstRow; row < all.nextRow; row++)
          expect(trimmed.row(row)).toEqual(all.row(row));
      }),
      { numRuns: 30 },
    );
  });

  test("are not joined to those of a reading that was given up before it came to them", () => {
    const early = replica();
    play(
      [{ kind: "rows", count: 20 }],
      (record) => early.read(wireRecord("k", record)),
      () => {},
    );
    const trimmed = replica();
    play(
      [{ kind: "rows", count: 100 }],
      (record) => trimmed.read(wireRecord("k", record)),
      () => {},
    );
    trimmed.freeBefore(firstRow + 60);

    trimmed.complete(early);

    expect(trimmed.isWhole).toBe(false);
    expect(trimmed.firstRow).toBe(firstRow + 60);
    expect(trimmed.row(firstRow + 60)?.content?.values).toEqual(Float64Array.of(firstRow + 60));
  });
});
