import { expect, test } from "vitest";
import { ManualClock } from "../../../testing/index.ts";
import { endAll } from "./end-parts.ts";

/** Lets everything that is ready go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 200) {
    clock.advance(200);
    await turn();
  }
}

test("an end whose step is never answered is over after 60 s, and the later steps were made", async () => {
  const clock = new ManualClock();
  const made: string[] = [];
  const never = new Promise<void>(() => {});
  let isOver = false;
  const ending = endAll(clock, () => false, [() => never, () => void made.push("last")]);
  void ending.then(() => {
    isOver = true;
  });

  await pass(clock, 59_000);
  expect([isOver, made]).toEqual([false, []]);
  await pass(clock, 2_000);

  expect([isOver, made]).toEqual([true, ["last"]]);
});

test("an end whose step is never answered is over after 4 s while the platform is away", async () => {
  const clock = new ManualClock();
  let isOver = false;
  void endAll(clock, () => true, [() => new Promise<void>(() => {})]).then(() => {
    isOver = true;
  });

  await pass(clock, 3_000);
  expect(isOver).toBe(false);
  await pass(clock, 2_000);

  expect(isOver).toBe(true);
});
