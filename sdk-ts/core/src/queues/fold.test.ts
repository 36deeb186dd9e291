import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cloneFold, emptyFold, type FoldState, foldStep } from "./fold.ts";
import type { QueueRecord } from "./queue-record.ts";

const start = (epoch: number, row = 0): QueueRecord => ({
  kind: "START",
  epoch,
  origin: { row, warmFromRow: row - 5, stateHash: "" },
});
const row = (epoch: number, seq: number, at: number, knownAtMs = 0): QueueRecord => ({
  kind: "ROW",
  epoch,
  seq,
  row: at,
  rev: 0,
  knownAtMs,
});
const fold = (...records: QueueRecord[]): FoldState => {
  const state = emptyFold();
  for (const record of records) foldStep(state, record);
  return state;
};

/** The number that an effective record takes, or why it is void. */
const taken = (state: FoldState, record: QueueRecord): number | string => {
  const before = state.seq;
  const reason = foldStep(state, record);
  if (reason !== null) return reason;
  return state.seq === before ? "no number" : before;
};

describe("what counts", () => {
  test("the first START fixes the origin; rows follow it without gap", () => {
    const state = fold(start(1, 40), row(1, 0, 40), row(1, 1, 41));

    expect(state).toMatchObject({ epoch: 1, seq: 2, nextRow: 42 });
  });

  test("a stale record before the next START counts, after it it is void", () => {
    const before = fold(start(1), row(1, 0, 0));
    expect(taken(cloneFold(before), row(1, 1, 1))).toBe(1);

    foldStep(before, start(2));
    expect(taken(before, row(1, 1, 1))).toBe("stale_epoch");
    expect(taken(before, row(2, 1, 1))).toBe(1);
  });

  test("an EMPTY range moves the next row past its end, a MARK and END take a seq and no row", () => {
    const state = fold(start(1), { kind: "EMPTY", epoch: 1, seq: 0, row: 0, toRow: 4 });
    expect(state.nextRow).toBe(5);

    expect(taken(state, { kind: "MARK", epoch: 1, seq: 1, watermarkMs: 10 })).toBe(1);
    expect(taken(state, { kind: "END", epoch: 1, seq: 2 })).toBe(2);
    expect(taken(state, row(1, 3, 5))).toBe("ended");
    expect(taken(state, start(2))).toBe("no number");
    expect(taken(state, row(2, 3, 5))).toBe(3);
  });

  test.each([
    ["no_start", [], row(1, 0, 0)],
    ["start_not_newer", [start(2)], start(2)],
    ["epoch_without_start", [start(1)], row(2, 0, 0)],
    ["repeated_seq", [start(1), row(1, 0, 0)], row(1, 0, 0)],
    ["future_seq", [start(1)], row(1, 1, 0)],
    ["wrong_row", [start(1)], row(1, 0, 1)],
    ["wrong_row", [start(1)], { kind: "EMPTY", epoch: 1, seq: 0, row: 0, toRow: -1 }],
    ["known_at_fell", [start(1), row(1, 0, 0, 9)], row(1, 1, 1, 8)],
    [
      "watermark_fell",
      [start(1), { kind: "MARK", epoch: 1, seq: 0, watermarkMs: 9 }],
      { kind: "MARK", epoch: 1, seq: 1, watermarkMs: 8 },
    ],
    [
      "revisions_unsupported",
      [start(1), row(1, 0, 0)],
      { kind: "REV", epoch: 1, seq: 1, row: 0, rev: 1, knownAtMs: 0 },
    ],
    ["undecodable", [start(1)], { kind: "ROW", epoch: 1, seq: 0, row: 0 }],
    ["undecodable", [], { kind: "ROW", epoch: Number.NaN, seq: 0, row: 0 }],
  ] as const)("void: %s", (reason, before, record) => {
    const state = fold(...(before as readonly QueueRecord[]));
    const untouched = cloneFold(state);

    expect(foldStep(state, record as QueueRecord)).toBe(reason);
    expect(state).toEqual(untouched);
  });
});

const anyRecord: fc.Arbitrary<QueueRecord> = fc.oneof(
  fc.integer({ min: 1, max: 4 }).map((epoch) => start(epoch)),
  fc
    .tuple(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 6 }),
      fc.integer({ min: 0, max: 6 }),
      fc.integer({ min: 0, max: 3 }),
    )
    .map(([epoch, seq, at, known]) => row(epoch, seq, at, known)),
  fc
    .tuple(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 6 }),
      fc.integer({ min: 0, max: 3 }),
    )
    .map(
      ([epoch, seq, length]): QueueRecord => ({
        kind: "EMPTY",
        epoch,
        seq,
        row: seq,
        toRow: seq + length,
      }),
    ),
);

test("any checkpoint continues like a reader from offset 0", () => {
  fc.assert(
    fc.property(fc.array(anyRecord, { maxLength: 60 }), fc.nat(60), (log, cut) => {
      const whole = emptyFold();
      const verdicts = log.map((record) => foldStep(whole, record));
      const first = fold(...log.slice(0, cut));
      const resumed = cloneFold(first);

      expect(log.slice(cut).map((record) => foldStep(resumed, record))).toEqual(
        verdicts.slice(cut),
      );
      expect(resumed).toEqual(whole);
    }),
    { seed: 3, numRuns: 300 },
  );
});

test("seq, row, known_at and epoch never fall, and each effective record takes one seq", () => {
  fc.assert(
    fc.property(fc.array(anyRecord, { maxLength: 80 }), (log) => {
      const state = emptyFold();
      for (const record of log) {
        const before = cloneFold(state);
        const isEffective = foldStep(state, record) === null;
        const step = isEffective && record.kind !== "START" ? 1 : 0;
        expect(state.seq).toBe(before.seq + step);
        expect(state.nextRow).toBeGreaterThanOrEqual(before.nextRow);
        expect(state.knownAtMs).toBeGreaterThanOrEqual(before.knownAtMs);
        expect(state.epoch).toBeGreaterThanOrEqual(before.epoch);
      }
    }),
    { seed: 4, numRuns: 300 },
  );
});
