import { afterEach, expect, test } from "vitest";
import { withInterrupt } from "./with-interrupt.ts";

const before = process.listeners("SIGINT");
const own = () => process.listeners("SIGINT").filter((each) => !before.includes(each));
afterEach(() => {
  for (const each of own()) process.off("SIGINT", each);
});

test("Ctrl-C stops work under way by its signal", async () => {
  const work = withInterrupt(async (signal) => {
    process.emit("SIGINT", "SIGINT");
    if (signal.aborted) throw new Error("stopped");
  });

  await expect(work).rejects.toThrow("stopped");
  expect(own()).toEqual([]);
});

test("Ctrl-C after work that is done no longer changes how the process ends", async () => {
  expect(await withInterrupt(async () => "done")).toBe("done");
  await withInterrupt(async () => "done again");

  expect(own()).toHaveLength(1);
  expect(own()[0]?.("SIGINT")).toBeUndefined();
});
