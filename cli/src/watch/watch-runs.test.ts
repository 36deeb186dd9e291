import { describe, expect, test } from "vitest";
import { ChangeQueue } from "./change-queue.ts";
import type { RunEnd, WatchEvent } from "./watch-event.ts";
import { type StartedRun, watchRuns } from "./watch-runs.ts";

/** A watch whose runs end when the test says so. */
function watched() {
  const log: string[] = [];
  const runs: { end: (end: RunEnd) => void; stops: number }[] = [];
  const changes = new ChangeQueue();
  const stopper = new AbortController();
  const start = (): StartedRun => {
    const run = { end: (_end: RunEnd) => {}, stops: 0 };
    const ended = new Promise<RunEnd>((resolve) => {
      run.end = resolve;
    });
    runs.push(run);
    changes.clear();
    log.push("start");
    return { ended, stop: () => void run.stops++ };
  };
  const tell = (event: WatchEvent): void => void log.push(event.kind);
  const { signal } = stopper;
  const done = watchRuns({ start, nextChange: changes.next, tell, signal, now: () => 0 });
  return { log, runs, done, stop: () => stopper.abort(), change: () => changes.put(["a.ts"]) };
}

/** Lets all pending microtasks run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("watching", () => {
  test("runs again after a change, however the run ended", async () => {
    const { log, runs, change, stop, done } = watched();
    for (const exitCode of [0, 2, undefined]) {
      runs.at(-1)!.end({ exitCode });
      await settle();
      change();
      await settle();
    }
    runs.at(-1)!.end({ exitCode: 0 });
    await settle();
    stop();
    await done;

    const round = ["start", "run", "finished"];
    const again = ["changed", ...round];
    expect(log).toEqual([...round, ...again, ...again, ...again, "closed"]);
    expect(runs.map(({ stops }) => stops)).toEqual([0, 0, 0, 0]);
  });

  test("a run under way at a change is stopped, and the next begins only when it has ended", async () => {
    const { log, runs, change, stop, done } = watched();
    change();
    await settle();
    change(); // while it is being stopped: one run is enough for both
    await settle();

    expect({ log: [...log], stops: runs[0]!.stops }).toEqual({
      log: ["start", "run", "changed"],
      stops: 1,
    });
    runs[0]!.end({ exitCode: 0 });
    await settle();
    expect(log.slice(3)).toEqual(["ended", "start", "run"]);
    stop();
    runs[1]!.end({ exitCode: 0 });
    await done;
  });

  test("the signal ends it once the run under way has ended", async () => {
    const { log, runs, stop, done } = watched();
    stop();
    await settle();

    expect({ log: [...log], stops: runs[0]!.stops }).toEqual({ log: ["start", "run"], stops: 1 });
    runs[0]!.end({ exitCode: 0 });
    await done;
    expect(log.slice(2)).toEqual(["ended", "closed"]);
  });
});
