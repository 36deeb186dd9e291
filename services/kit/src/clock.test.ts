import { expect, it } from "vitest";
import { sleep, systemClock } from "./clock.ts";
import { ManualClock } from "./testing/manual-clock.ts";

it("fires timers of a manual clock in order of due time, then of creation, at their own time", () => {
  const clock = new ManualClock(1_000);
  const fired: [string, number][] = [];
  const at = (name: string, delayMs: number) =>
    clock.setTimer(() => fired.push([name, clock.nowMs()]), delayMs);
  at("c", 30);
  at("a", 10);
  at("b", 10);
  at("never", 31).cancel();
  clock.setTimer(() => at("nested", 5), 20);
  clock.advance(30);
  expect(fired).toEqual([
    ["a", 1_010],
    ["b", 1_010],
    ["nested", 1_025],
    ["c", 1_030],
  ]);
  expect([clock.nowMs(), clock.monotonicMs(), clock.timersPending]).toEqual([1_030, 30, 0]);
});

it("sleeps until the time has come or the signal aborts, and leaves no timer behind", async () => {
  const clock = new ManualClock();
  let isOver = false;
  const slept = sleep(clock, 50).then(() => {
    isOver = true;
  });
  clock.advance(49);
  await Promise.resolve();
  expect(isOver).toBe(false);
  clock.advance(1);
  await slept;

  const stop = new AbortController();
  const aborted = sleep(clock, 50, stop.signal);
  stop.abort();
  await aborted;
  await sleep(clock, 50, stop.signal);
  expect(clock.timersPending).toBe(0);
});

it("measures durations with the system clock", async () => {
  const from = systemClock.monotonicMs();
  await sleep(systemClock, 5);
  expect(systemClock.monotonicMs() - from).toBeGreaterThan(3);
  systemClock.setTimer(() => expect.unreachable(), 0).cancel();
});

it("takes a time that is already over as no delay, without a warning of the runtime", async () => {
  const warnings: string[] = [];
  const take = (warning: Error) => void warnings.push(warning.name);
  process.on("warning", take);

  await sleep(systemClock, -5);
  await sleep(systemClock, 5);
  process.off("warning", take);

  expect(warnings).toEqual([]);
});
