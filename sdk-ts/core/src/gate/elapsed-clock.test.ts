import { expect, test } from "vitest";
import { clockReader, elapsedMs } from "./elapsed-clock.ts";

/** A machine whose three clocks a test moves, and how often its uptime was read. */
class FakeMachine {
  monotonicMs = 0;
  uptimeMs = 1_000;
  wallMs = 50_000;
  uptimesRead = 0;
  readonly read = clockReader({
    monotonicMs: () => this.monotonicMs,
    uptimeMs: () => {
      this.uptimesRead += 1;
      return this.uptimeMs;
    },
    wallMs: () => this.wallMs,
  });

  runs(ms: number): void {
    this.monotonicMs += ms;
    this.uptimeMs += ms;
    this.wallMs += ms;
  }

  sleeps(ms: number): void {
    this.uptimeMs += ms;
    this.wallMs += ms;
  }
}

test("readings within 10 ms share one reading of the uptime, and each has the time of the other clocks", () => {
  const machine = new FakeMachine();
  const first = machine.read();
  machine.runs(9);
  expect(machine.read()).toEqual({ monotonicMs: 9, uptimeMs: 1_000, wallMs: 50_009 });
  expect(elapsedMs(first, machine.read())).toBe(9);
  expect(machine.uptimesRead).toBe(1);
  machine.runs(1);
  expect(machine.read()).toEqual({ monotonicMs: 10, uptimeMs: 1_010, wallMs: 50_010 });
  expect(machine.uptimesRead).toBe(2);
});

test("the first reading after a sleep of the machine has the uptime of then", () => {
  const machine = new FakeMachine();
  const first = machine.read();
  machine.runs(1);
  machine.sleeps(60_000);
  expect(machine.read().uptimeMs).toBe(61_001);
  expect(elapsedMs(first, machine.read())).toBe(60_001);
});

test("a wall clock that is set back as far as the machine slept hides the sleep for 10 ms at most", () => {
  const machine = new FakeMachine();
  const first = machine.read();
  machine.sleeps(60_000);
  machine.wallMs -= 60_000;
  machine.runs(10);
  expect(elapsedMs(first, machine.read())).toBe(60_010);
});

test("a wall clock that is set back makes the uptime be read", () => {
  const machine = new FakeMachine();
  machine.read();
  machine.runs(1);
  machine.wallMs -= 3_600_000;
  expect(machine.read().uptimeMs).toBe(1_001);
});
