import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import type { RunnerEnd } from "../ports.ts";
import { barrierWaitMsMax, FeedBarrier } from "./feed-barrier.ts";
import { restateMsMax } from "./restating.ts";

const never = new AbortController().signal;

const end = (sessionId: string, row: number, isArmed = false): RunnerEnd => ({
  sessionId,
  worldId: "w",
  row,
  isArmed,
});

function rig(runners: readonly string[], untilMs: number | null = null) {
  const clock = new ManualClock();
  const dropped: string[] = [];
  const stored = {
    passedRow: 9,
    untilMs,
    runners: runners.map((sessionId) => ({ sessionId, fromRow: 10 })),
  };
  const onDropped = (sessionId: string) => dropped.push(sessionId);
  const barrier = new FeedBarrier({ source: "f", clock, sessionDeadMs: 4_000, onDropped }, stored);
  const passed: string[] = [];
  const refused: string[] = [];
  const publish = (row: number, name = `k/${row}`): void => {
    const options = { sessionId: "s", signal: never };
    barrier.wait(name, { row, toRow: row, timeMs: row * 1_000 }, options).then(
      () => passed.push(name),
      (error: { reason: string }) => refused.push(`${name} ${error.reason}`),
    );
  };
  const settle = async () => {
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  };
  return { clock, barrier, stored, dropped, passed, refused, publish, settle };
}

test("a row passes when both runners have ended the row before, whoever comes last", async () => {
  const { barrier, passed, publish, settle } = rig(["a", "b"]);
  publish(10);
  await settle();
  expect(passed).toEqual(["k/10"]);
  barrier.rowEffective(10);
  publish(11);
  publish(11, "flow/11");
  barrier.ended(end("a", 10));
  await settle();
  expect(passed).toEqual(["k/10"]);
  expect(barrier.isSettled).toBe(false);
  barrier.ended(end("b", 10));
  await settle();
  expect(passed).toEqual(["k/10", "k/11", "flow/11"]);
});

test("a later row waits until the one before it is in the log", async () => {
  const { barrier, passed, publish, settle } = rig([]);
  publish(11);
  publish(10);
  await settle();
  expect(passed).toEqual(["k/10"]);
  barrier.rowEffective(10);
  await settle();
  expect(passed).toEqual(["k/10", "k/11"]);
});

test("a silent runner is dropped, a heartbeating one is waited for", async () => {
  const { clock, barrier, dropped, passed, publish, settle } = rig(["a", "b"]);
  barrier.rowEffective(10);
  barrier.ended(end("a", 10));
  publish(11);
  clock.advance(3_000);
  barrier.heard("a");
  barrier.heard("b");
  clock.advance(3_000);
  expect(dropped).toEqual([]);
  barrier.heard("a");
  clock.advance(1_000);
  await settle();
  expect(dropped).toEqual(["b"]);
  expect(passed).toEqual(["k/11"]);
});

test("no row passes the hold until it is moved", async () => {
  const { barrier, stored, passed, publish, settle } = rig([], 9_500);
  publish(10);
  await settle();
  expect(passed).toEqual([]);
  barrier.sync({ ...stored, untilMs: 10_000 });
  await settle();
  expect(passed).toEqual(["k/10"]);
});

test("a publish that is held for too long, or sent again, is answered so", async () => {
  const { clock, barrier, refused, passed, publish, settle } = rig([], 0);
  publish(10);
  publish(10);
  await settle();
  expect(refused).toEqual(["k/10 BARRIER_HELD"]);
  clock.advance(barrierWaitMsMax);
  await settle();
  expect(refused).toHaveLength(2);
  expect(passed).toEqual([]);
  expect(barrier.state.logRow).toBe(9);
});

test("a row of one session does not push out that of another, nor take all the places", async () => {
  const { barrier, passed, publish, settle } = rig(["a"]);
  barrier.rowEffective(10);
  publish(11);
  const refused: string[] = [];
  const row = (at: number) => ({ row: at, toRow: at, timeMs: at * 1_000 });
  const forge = (record: string, at: number) => {
    const options = { sessionId: "other", signal: never };
    const forged = (async () => barrier.wait(record, row(at), options))();
    forged.catch((error: { reason: string }) => refused.push(error.reason));
  };
  forge("k/11", 11);
  for (let at = 0; at < 2_000; at += 1) forge(`forged/${at}`, 4_200 + at);
  await settle();
  expect(refused).toEqual(Array.from({ length: 2_000 - 63 }, () => "TOO_MANY_REQUESTS"));

  barrier.ended(end("a", 10));
  await settle();

  expect(passed).toEqual(["k/11"]);
});

test("a row that is held for too long is told what it waits for: the hold, runners, or a row before it", async () => {
  const told = async (setUp: ReturnType<typeof rig>, at: number): Promise<string> => {
    const { barrier, clock } = setUp;
    const timeMs = at * 1_000;
    const options = { sessionId: "s", signal: never, waitMs: 1_000 };
    const waiting = barrier.wait("k", { row: at, toRow: at, timeMs }, options);
    const message = waiting.catch((error: Error) => error.message);
    clock.advance(1_000);
    return (await message) ?? "";
  };
  expect(await told(rig([], 5_000), 10)).toBe(
    "the row is held: the limit of the feed is 1970-01-01T00:00:05.000Z; AdvanceFeed moves it",
  );
  const waited = rig(["a", "b", "c", "d", "e"]);
  waited.barrier.rowEffective(10);
  waited.barrier.ended(end("b", 10));
  expect(await told(waited, 11)).toBe(
    "the row is held: row 10 is not finished by a, c, d and 1 more",
  );
  expect(await told(rig([]), 12)).toBe("the row is held: row 10 comes first");
});

test("an end that comes before its runner is known counts once it is", async () => {
  const { barrier, stored, passed, publish, settle } = rig(["a"]);
  barrier.rowEffective(10);
  barrier.ended(end("b", 10));
  barrier.sync({ ...stored, runners: [...stored.runners, { sessionId: "b", fromRow: 10 }] });
  barrier.ended(end("a", 10));
  publish(11);
  await settle();
  expect(passed).toEqual(["k/11"]);
});

test("after a gate opened the next row waits until each runner has spoken under its lease", async () => {
  const { barrier, passed, publish, settle } = rig(["a", "b"]);
  barrier.rowEffective(10);
  barrier.ended(end("a", 10));
  barrier.ended(end("b", 10));
  barrier.gateOpened("w");
  publish(11);
  barrier.ended(end("a", 10));
  barrier.ended(end("b", 10, true));
  await settle();
  expect(passed).toEqual([]);
  expect(barrier.isSettled).toBe(false);
  barrier.ended(end("a", 10, true));
  await settle();
  expect(passed).toEqual(["k/11"]);
  barrier.rowEffective(11);
  publish(12);
  barrier.ended(end("a", 11));
  barrier.ended(end("b", 11));
  await settle();
  expect(passed).toEqual(["k/11", "k/12"]);
});

test("a runner that gets no lease after the gate opened is not waited for long", async () => {
  const { clock, barrier, passed, publish, settle } = rig(["a"]);
  barrier.rowEffective(10);
  barrier.ended(end("a", 10));
  barrier.gateOpened("w");
  publish(11);
  clock.advance(restateMsMax - 1);
  await settle();
  expect(passed).toEqual([]);
  clock.advance(1);
  await settle();
  expect(passed).toEqual(["k/11"]);
});

test("a gate that opens twice in a row voids no end that was told between", async () => {
  const { clock, barrier, passed, publish, settle } = rig(["a"]);
  barrier.rowEffective(10);
  barrier.ended(end("a", 9));
  barrier.gateOpened("w");
  barrier.ended(end("a", 10));
  barrier.gateOpened("w");
  publish(11);
  await settle();
  expect(passed).toEqual([]);
  for (let ms = 0; ms < restateMsMax; ms += 500) {
    barrier.heard("a");
    clock.advance(500);
  }
  await settle();
  expect(passed).toEqual(["k/11"]);
});

test("the gate of another world holds no runner of this one", async () => {
  const { barrier, passed, publish, settle } = rig(["a"]);
  barrier.rowEffective(10);
  barrier.ended(end("a", 10));
  barrier.gateOpened("another");
  publish(11);
  await settle();
  expect(passed).toEqual(["k/11"]);
});

test("a hold at a time without a row is reached when the next row lies behind it", async () => {
  const { barrier, stored, passed, publish, settle } = rig([], 10_500);
  publish(10);
  await settle();
  barrier.rowEffective(10);
  expect(passed).toEqual(["k/10"]);
  expect(barrier.isAtLimit(10_000)).toBe(false);

  publish(11);
  await settle();
  expect(barrier.isAtLimit(10_000)).toBe(true);

  barrier.sync({ ...stored, untilMs: 11_500 });
  await settle();
  expect(barrier.isAtLimit(10_000)).toBe(false);
  barrier.rowEffective(11);
  expect([barrier.isAtLimit(11_500), barrier.isAtLimit(11_000)]).toEqual([true, false]);
});
