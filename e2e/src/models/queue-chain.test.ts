import { expect, test } from "vitest";
import { ChainRun } from "./queue-chain.ts";
import { seeded } from "./seeded.ts";

const seeds = process.env.QMTL_MODEL === "full" ? 2_000 : 120;

test("a chain under faults equals an undisturbed run, bit by bit", { timeout: 600_000 }, () => {
  const sum = { voids: 0, takeovers: 0 };

  for (let seed = 1; seed <= seeds; seed++) {
    const result = new ChainRun(seeded(seed), false).run();
    expect(result.failure, `seed ${seed}`).toBeNull();
    sum.voids += result.voids;
    sum.takeovers += result.takeovers;
  }

  // The faults really happened: some records were void, and some histories have several writers.
  expect(sum.voids).toBeGreaterThan(seeds);
  expect(sum.takeovers).toBeGreaterThan(seeds);
});

test("caught: a snapshot believed without comparing it with the log", { timeout: 600_000 }, () => {
  const failures = Array.from(
    { length: 120 },
    (_, i) => new ChainRun(seeded(i + 1), true).run().failure,
  );

  expect(failures.filter((failure) => failure !== null).length).toBeGreaterThan(0);
});
