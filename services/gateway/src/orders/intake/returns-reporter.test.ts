import { silentLogger } from "@qmtl/service-kit";
import { ManualClock, waitUntil } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import type { SealedBar } from "../account/rebuild-books.ts";
import type { WorldPeer } from "../gate/world-peer.ts";
import { ReturnsReporter } from "./returns-reporter.ts";
import { RowWaiters } from "./row-waiters.ts";

type Report = Parameters<WorldPeer["reportReturns"]>[0];

/** A reporter whose WorldService answers when the test lets it. */
function rig(strategies: readonly string[] = ["s"]) {
  const reports: Report[] = [];
  const errors: string[] = [];
  const answers: (() => void)[] = [];
  const isOpen = { value: false };
  const peer: Pick<WorldPeer, "reportReturns"> = {
    reportReturns: (report) => {
      reports.push(report);
      return isOpen.value ? Promise.resolve() : new Promise((resolve) => answers.push(resolve));
    },
  };
  const reported = new RowWaiters();
  const reporter = new ReturnsReporter(
    {
      peer: peer as WorldPeer,
      clock: new ManualClock(),
      logger: { ...silentLogger, error: (message) => void errors.push(message) },
      intervalSeconds: 60,
      periodsPerYear: 252,
      worlds: { gates: new Map() },
      acks: { heardOf: () => new Map(strategies.map((strategy) => [strategy, 0])) },
    },
    reported,
  );
  const bar = (row: number): SealedBar => {
    const sealed = strategies.map((strategy) => {
      return { world: "w", strategy, bucket: row * 60_000, capital: 1, return: row, exposed: true };
    });
    return { source: "feed", row, bucket: row * 60_000, worlds: ["w"], sealed };
  };
  return {
    ...{ reports, errors, reported, reporter, bar },
    answerAll: () => {
      isOpen.value = true;
      for (const answer of answers.splice(0)) answer();
    },
  };
}

const rowsOf = (reports: readonly Report[]): readonly number[] =>
  reports.flatMap(({ returns }) => returns.flatMap((one) => one.returns));

test("bars that piled up while WorldService was silent are all reported, in order, 1,000 at most in a report", async () => {
  const { reporter, reports, reported, bar, answerAll } = rig();
  for (let row = 0; row < 2_500; row += 1) reporter.push(bar(row));

  answerAll();
  await waitUntil(() => reported.row === 2_499);

  expect(rowsOf(reports)).toEqual(Array.from({ length: 2_500 }, (_, row) => row));
  expect(reports.map(({ returns }) => returns[0]?.returns.length)).toEqual([1, 1_000, 1_000, 499]);
});

test("strategies beyond the contract's 1,000 go in further reports", async () => {
  const names = Array.from({ length: 2_001 }, (_, at) => `s-${at}`);
  const { reporter, reports, reported, bar, answerAll } = rig(names);
  answerAll();

  reporter.push(bar(0));
  await waitUntil(() => reported.row === 0);

  expect(reports.map(({ returns }) => returns.length)).toEqual([1_000, 1_000, 1]);
  expect(reports.flatMap(({ returns }) => returns.map((one) => one.strategyId))).toEqual(names);
});

test("a bar that comes while the list is full and a report is under way is reported; what is dropped is said", async () => {
  const { reporter, reports, reported, errors, bar, answerAll } = rig();
  const full = 100_000;
  for (let row = 0; row < full + 1_500; row += 1) reporter.push(bar(row));
  const first = rowsOf(reports);

  answerAll();
  await waitUntil(() => reported.row === full + 1_499);

  const rows = rowsOf(reports);
  expect(first).toEqual([0]);
  // The first was under way before it was dropped.
  expect(rows).toEqual([0, ...Array.from({ length: full }, (_, at) => 1_500 + at)]);
  expect(errors).toHaveLength(1_500);
  expect(errors[0]).toBe("returns dropped: too many wait for WorldService");
});
