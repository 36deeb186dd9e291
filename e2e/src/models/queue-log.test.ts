import { describe, expect, test } from "vitest";
import {
  blankOnTrimmedLog,
  highestEpochSeen,
  nextRowWithoutStart,
  resumeWithoutEpoch,
} from "./queue-log-rules.ts";
import { type LogSearchConfig, searchLog } from "./queue-log-search.ts";

const isFull = process.env.QMTL_MODEL === "full";

const PROTOCOL: readonly [name: string, options: Partial<LogSearchConfig>, isSlow: boolean][] = [
  ["2 processes, 2 epochs, 3 rows, log of 6", { epochsMax: 2, crashes: 0 }, false],
  ["2 processes, 3 epochs, 2 rows, log of 5, a crash", { rowsMax: 2, logMax: 5 }, false],
  ["2 processes, 3 epochs, 3 rows, log of 6", { crashes: 0, unsentMax: 1 }, false],
  [
    "embedded log that checks the append, log of 6",
    { checksAppend: true, crashes: 0, rowsMax: 4 },
    false,
  ],
  ["2 processes, 3 epochs, 2 rows, log of 6, a crash", { rowsMax: 2 }, true],
  ["2 processes, 3 epochs, 3 rows, log of 7", { logMax: 7, crashes: 0, unsentMax: 1 }, true],
  [
    "3 processes, 3 epochs, 2 rows, log of 7",
    { processes: 3, rowsMax: 2, logMax: 7, crashes: 0, unsentMax: 1 },
    true,
  ],
  ["embedded log, log of 8", { checksAppend: true, logMax: 8, rowsMax: 4, crashes: 0 }, true],
];

describe("one key, every interleaving, with the product's fold", () => {
  for (const [name, options, isSlow] of PROTOCOL) {
    test.runIf(isFull || !isSlow)(
      `all readers agree and nothing is built on void rows: ${name}`,
      { timeout: 300_000 },
      () => {
        const result = searchLog(options);

        expect(result.violation).toBeNull();
        expect(result.isCut).toBe(false);
        expect(result.states).toBeGreaterThan(500);
      },
    );
  }
});

const MUTANTS: readonly [options: Partial<LogSearchConfig>, breaks: string, name: string][] = [
  [
    { rule: highestEpochSeen("first"), logMax: 4, readersOnly: true },
    "Q1",
    "highest epoch seen, first value wins",
  ],
  [
    { rule: highestEpochSeen("last"), logMax: 4, readersOnly: true },
    "Q1",
    "highest epoch seen, last value wins",
  ],
  [
    { rule: nextRowWithoutStart, logMax: 5, readsBeforeStart: true },
    "Q3",
    "next row without START",
  ],
  [{ readsBeforeStart: true }, "Q3", "the holder reads before its START is in the log"],
  [{ rule: blankOnTrimmedLog }, "Q1", "a blank fold on a trimmed log"],
  [{ rule: resumeWithoutEpoch }, "Q1", "a reader resumes without the epoch"],
  [{ compacts: true }, "Q1", "compaction keeps the last record of a row"],
  [{ issuesEpochTwice: true }, "Q3", "an epoch is issued twice"],
];

describe("seeded mutants of the queue are caught", () => {
  for (const [options, breaks, name] of MUTANTS) {
    test(name, { timeout: 120_000 }, () => {
      expect(searchLog(options).violation).toMatch(new RegExp(`^${breaks}`));
    });
  }
});
