import { afterEach, expect, test, vi } from "vitest";
import { onStopSignal } from "./until-stopped.ts";

afterEach(() => vi.useRealTimers());

test("a signal told twice at once is one; one that comes later is another", () => {
  vi.useFakeTimers();
  const told: string[] = [];
  const release = onStopSignal(
    (signal) => told.push(signal),
    () => told.push("again"),
  );

  process.emit("SIGINT", "SIGINT");
  process.emit("SIGINT", "SIGINT");
  expect(told).toEqual(["SIGINT"]);
  vi.advanceTimersByTime(600);
  process.emit("SIGINT", "SIGINT");
  expect(told).toEqual(["SIGINT", "again"]);
  release();
});

test("a terminal that is closed asks for an end as Ctrl-C does", () => {
  vi.useFakeTimers();
  const told: string[] = [];
  const release = onStopSignal((signal) => told.push(signal), vi.fn());

  process.emit("SIGHUP", "SIGHUP");
  release();

  expect(told).toEqual(["SIGHUP"]);
});
