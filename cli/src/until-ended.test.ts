import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { exitCodeOf } from "./exit-codes.ts";
import { untilEnded } from "./until-ended.ts";

const exits: unknown[] = [];
beforeEach(() => {
  exits.length = 0;
  vi.useFakeTimers();
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(process, "exit").mockImplementation((code) => {
    exits.push(code);
    throw new Error("the process has ended");
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const never = new Promise<never>(() => {});

test("a stop that lost something ended with 0: it ends with 1, and says all that was lost, in its order", async () => {
  const running = {
    lost: never,
    stop: async () => {
      await using stack = new AsyncDisposableStack();
      stack.defer(async () => {
        throw new Error("the books are lost");
      });
      stack.defer(async () => {
        throw new Error("a halt is lost");
      });
    },
  };

  const failure = await untilEnded(running, Promise.resolve(), false).catch(
    (each: unknown) => each,
  );

  expect(exitCodeOf(failure)).toBe(1);
  expect(String(failure)).toContain("a halt is lost; the books are lost");
});

test("a stop that never ends kept the process for ever: it ends with 1 after twenty seconds", async () => {
  void untilEnded({ lost: never, stop: () => never }, Promise.resolve(), false);
  await vi.advanceTimersByTimeAsync(19_900);
  expect(exits).toEqual([]);

  await expect(vi.advanceTimersByTimeAsync(200)).rejects.toThrow("the process has ended");

  expect(exits).toEqual([1]);
});

test("work that was abandoned does not outlive a stop: the process ends a second later", async () => {
  await untilEnded({ lost: never, stop: async () => {} }, Promise.resolve(), false);

  await expect(vi.advanceTimersByTimeAsync(1_100)).rejects.toThrow("the process has ended");

  expect(exits).toEqual([undefined]);
});
