import { expect, test } from "vitest";
import { benchGroups } from "./bench-groups.ts";
import {
  crossingTargets,
  engineExecutionBench,
  executionBars,
  handEquity,
  tradeTargets,
} from "./engine-execution.ts";
import { engineFunctionsBench } from "./engine-functions.ts";
import { engineSweepBench } from "./engine-sweep.ts";

const small = {
  "engine/execution": () => engineExecutionBench({ rows: 500, samples: 2 }),
  "engine/functions": () => engineFunctionsBench({ rows: 500, samples: 2 }),
  "engine/sweep": () => engineSweepBench({ rows: 500, workerRows: 500, samples: 1, variants: 4 }),
};

for (const [name, run] of Object.entries(small)) {
  test(`${name} rows are those that are listed, each with a figure`, async () => {
    const rows = await run();

    const listed = benchGroups.find((group) => group.names[0]!.startsWith(`${name}/`));
    expect(rows.map((row) => row.name)).toEqual(listed?.names);
    for (const row of rows) expect(row.value).toBeGreaterThan(0);
  });
}

test("the hand loop does the work of the execution chain", () => {
  const rows = 3_000;
  const bars = executionBars(rows);
  const byHand = new Float64Array(rows);

  handEquity(bars, byHand, rows);
  const account = tradeTargets(bars, crossingTargets(bars));

  expect(account.orders.length).toBeGreaterThan(50);
  for (const [i, equity] of account.equity().entries()) {
    expect(Math.abs(equity / byHand[i]! - 1)).toBeLessThan(1e-9);
  }
});
