import fc from "fast-check";
import { expect, test } from "vitest";
import { runBatch } from "./batch.ts";
import type { BatchInput } from "./batch-axis.ts";
import { compilePlan } from "./compile-plan.ts";
import { FeedError } from "./run-error.ts";
import { runSweep, type SweepVariant } from "./sweep.ts";
import { gridVariant, sweepVariant } from "./sweep-grid.child.ts";
import { runSweepInWorkers, SweepError } from "./sweep-workers.ts";

const module = new URL("./sweep-grid.child.ts", import.meta.url).href;
const VARIANTS = 9;

function feed(values: readonly number[]): BatchInput[] {
  const endMs = Float64Array.from(values, (_, i) => (i + 1) * 60_000);
  return [{ nodeId: "s", endMs, columns: [Float64Array.from(values)] }];
}

const prices = Array.from({ length: 50 }, (_, i) => Math.sin(i) * 10 + i / 7);

function alone({ graph, wanted }: SweepVariant, inputs: readonly BatchInput[]): Float64Array {
  const plan = compilePlan({ graph, supplied: ["s"], wanted });
  const { columns } = runBatch({ plan, inputs, collect: wanted });
  return Float64Array.from(wanted, (id) => Number(columns.get(id)!.values[0]!.at(-1)));
}

test("a node that variants share is computed once", () => {
  const variants = [gridVariant(2, 5), gridVariant(2, 7), gridVariant(3, 5), gridVariant(2, 5)];

  const { evaluations } = runSweep({ variants, inputs: feed(prices) });

  const ids = ["sma-2", "sma-5", "gap-2-5", "sma-7", "gap-2-7", "sma-3", "gap-3-5"];
  expect([...evaluations.keys()].sort()).toEqual(ids.sort());
  expect([...evaluations.values()].every((rows) => rows === prices.length)).toBe(true);
});

test("every variant has the bits it has alone, for any data, gaps and chunk", () => {
  const value = fc.oneof(
    { weight: 6, arbitrary: fc.double({ min: -1e6, max: 1e6, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(Number.NaN, 0, -0, 1e16) },
  );
  const windows = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 12 }));
  const grids = fc.array(windows, { minLength: 1, maxLength: 8 });
  const columns = fc.array(value, { minLength: 1, maxLength: 60 });

  fc.assert(
    fc.property(grids, columns, fc.integer({ min: 1, max: 70 }), (grid, column, chunk) => {
      const variants = grid.map(([fast, slow]) => gridVariant(fast, slow));
      const inputs = feed(column);

      const { values } = runSweep({ variants, inputs, chunk });

      expect(values).toEqual(variants.map((variant) => alone(variant, inputs)));
    }),
    { seed: 7, numRuns: 100 },
  );
});

test("inputs that no variant reads are left out", () => {
  const inputs = feed(prices);

  const { values } = runSweep({
    variants: [gridVariant(2, 5)],
    inputs: [...inputs, { ...inputs[0]!, nodeId: "unread" }],
  });

  expect(values).toEqual([alone(gridVariant(2, 5), inputs)]);
});

test("workers give the values of one thread, in the order of the variants", async () => {
  const inputs = feed(prices);
  const variants = Array.from({ length: VARIANTS }, (_, index) => sweepVariant(index, undefined));
  const { values } = runSweep({ variants, inputs });

  const ofTwo = await runSweepInWorkers({ module, variants: VARIANTS, inputs, workersMax: 2 });
  const ofOne = await runSweepInWorkers({ module, variants: 1, inputs, workersMax: 64 });

  expect(ofTwo).toEqual(values);
  expect(ofOne).toEqual(values.slice(0, 1));
});

test("a variant that fails ends the sweep and says what it threw", async () => {
  const sweep = runSweepInWorkers({
    ...{ module, variants: VARIANTS, inputs: feed(prices), workersMax: 2 },
    data: { failing: 7 },
  });

  const error = await sweep.catch((reason: unknown) => reason);

  expect(error).toBeInstanceOf(SweepError);
  expect(error).toMatchObject({ reason: "SWEEP_WORKER_FAILED" });
  expect(String((error as SweepError).cause)).toContain("this variant fails");
});

test("a module that cannot be imported is a failed sweep", async () => {
  const absent = new URL("./absent.child.ts", import.meta.url).href;

  await expect(
    runSweepInWorkers({ module: absent, variants: 1, inputs: feed(prices), workersMax: 1 }),
  ).rejects.toBeInstanceOf(SweepError);
});

test("an aborted sweep rejects with the reason of its signal", async () => {
  const stop = new AbortController();
  const options = { module, variants: VARIANTS, inputs: feed(prices), workersMax: 2 };

  const sweep = runSweepInWorkers({ ...options, signal: stop.signal });
  stop.abort(new Error("enough"));

  await expect(sweep).rejects.toThrow("enough");
  await expect(runSweepInWorkers({ ...options, signal: stop.signal })).rejects.toThrow("enough");
});

test("counts out of range and columns of objects are refused before a worker starts", async () => {
  const options = { module, variants: 1, inputs: feed(prices), workersMax: 1 };
  const refs = [{ nodeId: "s", endMs: Float64Array.of(1), columns: [[{}]] }];

  await expect(runSweepInWorkers({ ...options, variants: 0 })).rejects.toThrow(RangeError);
  await expect(runSweepInWorkers({ ...options, workersMax: 65 })).rejects.toThrow(RangeError);
  await expect(runSweepInWorkers({ ...options, inputs: refs })).rejects.toThrow(FeedError);
});
