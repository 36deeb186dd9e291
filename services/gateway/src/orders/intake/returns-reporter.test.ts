import { silentLogger } from "@qmtl/service-kit";
import { ManualClock, waitUntil } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import type { WorldPeer } from "../gate/world-peer.ts";
import { type BookedSlice, ReturnsReporter } from "./returns-reporter.ts";

type Report = Parameters<WorldPeer["reportReturns"]>[0];

/** A reporter whose WorldService answers when the test lets it. */
function rig(strategies: readonly string[] = ["s"]) {
  const reports: Report[] = [];
  const answers: (() => void)[] = [];
  const isOpen = { value: false };
  const peer: Pick<WorldPeer, "reportReturns"> = {
    reportReturns: (report) => {
      reports.push(report);
      return isOpen.value ? Promise.resolve() : new Promise((resolve) => answers.push(resolve));
    },
  };
  const clock = new ManualClock();
  const reporter = new ReturnsReporter({
    peer: peer as WorldPeer,
    clock,
    logger: silentLogger,
    clockOf: (_world, strategy) => ({ intervalSeconds: strategy.length * 60, periodsPerYear: 252 }),
    worlds: { gates: new Map() },
    acks: { heardOf: () => new Map([["heard", 7]]) },
  });
  const slice = (
    row: number,
    watermarks: readonly (readonly [string, number])[] = [],
  ): BookedSlice => {
    const bucket = row * 60_000;
    const sealed = strategies.map((strategy) => {
      return { world: "w", strategy, bucket, capital: 1, return: row, exposed: true };
    });
    const rows = [{ source: "feed", row }];
    return { rows, watermarks: new Map(watermarks), sealed: { bucket, sealed } };
  };
  return {
    ...{ clock, reports, reporter, slice },
    answerAll: () => {
      isOpen.value = true;
      for (const answer of answers.splice(0)) answer();
    },
  };
}

test("slices that piled up while WorldService was silent are all reported together, in order", async () => {
  const { reporter, reports, slice, answerAll } = rig();
  for (let row = 0; row < 60; row += 1) reporter.push(slice(row));

  answerAll();
  await waitUntil(() => reporter.reported("feed").row === 59);

  const rows = Array.from({ length: 60 }, (_, row) => row);
  const returns = reports.map((report) => report.returns[0]?.returns);
  expect(returns).toEqual([rows.slice(0, 16), rows.slice(16)]);
  expect(reporter.lastMs).toBe(59 * 60_000);
});

test("slices that nobody asks for are gathered for 100 ms, and reported at once when somebody does", async () => {
  const { clock, reporter, reports, slice, answerAll } = rig();
  answerAll();
  reporter.push(slice(0));
  reporter.push(slice(1));
  const gathered = reports.length;

  reporter.send();
  await waitUntil(() => reporter.isDone);
  reporter.push(slice(2));
  clock.advance(99);
  const before = reports.length;
  clock.advance(1);
  await waitUntil(() => reporter.reported("feed").row === 2);

  expect([gathered, before]).toEqual([0, 1]);
  expect(reports.map((report) => report.returns[0]?.returns)).toEqual([[0, 1], [2]]);
});

test("what is asked for while a report is under way goes with the next one", async () => {
  const { reporter, reports, slice, answerAll } = rig();
  reporter.push(slice(0));
  reporter.send();
  await waitUntil(() => reports.length === 1);
  reporter.push(slice(1));
  reporter.send();

  answerAll();
  await waitUntil(() => reporter.isDone);

  expect(reports.map((report) => report.returns[0]?.returns)).toEqual([[0], [1]]);
});

test("there is room until 64 slices wait for an answer, and again when they have it", async () => {
  const { reporter, slice, answerAll } = rig();
  for (let row = 0; row < 63; row += 1) reporter.push(slice(row));
  await reporter.untilRoom();
  reporter.push(slice(63));
  let hasRoom = false;
  const room = reporter.untilRoom().then(() => {
    hasRoom = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  const before = hasRoom;

  answerAll();
  await room;

  expect(before).toBe(false);
  expect(reporter.reported("feed").row).toBeGreaterThanOrEqual(0);
});

test("a booking that waits for room is refused when the reporter stops", async () => {
  const { reporter, slice, answerAll } = rig();
  for (let row = 0; row < 64; row += 1) reporter.push(slice(row));
  const room = reporter.untilRoom();

  const stopped = reporter.stop();
  answerAll();

  await expect(Promise.all([room, reporter.untilRoom()])).rejects.toMatchObject({
    reason: "PEER_UNAVAILABLE",
  });
  await stopped;
});

test("each strategy has a clock of its own; those only heard of come with the watermark of their world", async () => {
  const { reporter, reports, slice, answerAll } = rig(["s", "long"]);
  answerAll();

  reporter.push(slice(1));
  reporter.send();
  await waitUntil(() => reporter.reported("feed").row === 1);
  reporter.push(slice(2, [["w", 5]]));
  reporter.send();
  await waitUntil(() => reporter.reported("feed").row === 2);

  const told = reports.map(({ watermarkMs, returns }) => [
    watermarkMs,
    ...returns.map(({ strategyId, intervalSeconds, dataEndMs, bucketEnds }) =>
      [strategyId, intervalSeconds, dataEndMs, ...bucketEnds].join(" "),
    ),
  ]);
  expect(told).toEqual([
    [0, "s 60 0 60000", "long 240 0 60000"],
    [5, "heard 300 7", "s 60 0 120000", "long 240 0 120000"],
  ]);
});

test("strategies beyond the contract's 1,000 go in further reports", async () => {
  const names = Array.from({ length: 2_001 }, (_, at) => `s-${at}`);
  const { reporter, reports, slice, answerAll } = rig(names);
  answerAll();

  reporter.push(slice(0));
  reporter.send();
  await waitUntil(() => reporter.reported("feed").row === 0);

  expect(reports.map(({ returns }) => returns.length)).toEqual([1_000, 1_000, 1]);
  expect(reports.flatMap(({ returns }) => returns.map((one) => one.strategyId))).toEqual(names);
});
