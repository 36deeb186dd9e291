import { Worker } from "node:worker_threads";
import type { BatchInput } from "./batch-axis.ts";
import { CHUNK_ROWS } from "./plan.ts";
import { FeedError } from "./run-error.ts";
import type { SweepAnswer, SweepTask } from "./sweep-task.ts";

/** A sweep over worker threads. */
export interface SweepInWorkersOptions {
  /** URL of a module that exports `sweepVariant(index, data)`; it is imported by every worker. */
  readonly module: string;
  /** Passed to `sweepVariant`; must be cloneable. @default undefined */
  readonly data?: unknown;
  /** Number of variants, 1..100000. */
  readonly variants: number;
  /** Rows of the sources; columns of numbers only. */
  readonly inputs: readonly BatchInput[];
  /** Largest number of threads, 1..64; no more are started than there are variants. */
  readonly workersMax: number;
  /** Largest number of rows of a clock computed at a time. @default 2048 */
  readonly chunk?: number;
  /** Ends the workers; the sweep then rejects with the reason of the signal. @default none */
  readonly signal?: AbortSignal;
}

/** A worker of a sweep failed; `cause` is what it threw, as far as errors can be copied between threads. */
export class SweepError extends Error {
  override readonly name = "SweepError";
  readonly reason = "SWEEP_WORKER_FAILED";
}

const VARIANTS_MAX = 100_000;
const WORKERS_MAX = 64;

/**
 * `runSweep` in worker threads: each gets consecutive variants, and all share one copy of the rows.
 *
 * A node that variants of two workers share is computed by both: put variants that share most next to one another.
 * Values are bit for bit those of `runSweep`. The first failure ends all workers.
 *
 * @param options module of the variants, rows and number of threads
 * @returns per variant: the last row's value of each wanted node, as in `SweepResult.values`
 * @throws {RangeError | FeedError} before a worker is started. @throws {SweepError} when one fails.
 */
export async function runSweepInWorkers(
  options: SweepInWorkersOptions,
): Promise<readonly Float64Array[]> {
  const { variants, module, data, signal } = options;
  checkCount("variants", variants, VARIANTS_MAX);
  checkCount("workersMax", options.workersMax, WORKERS_MAX);
  signal?.throwIfAborted();
  const workers = Math.min(options.workersMax, variants);
  const shared = { module, data, inputs: shareInputs(options.inputs) };
  const tasks = Array.from({ length: workers }, (_, k): SweepTask => {
    const [first, end] = [k, k + 1].map((share) => Math.round((share * variants) / workers));
    return { ...shared, first: first!, end: end!, chunk: options.chunk ?? CHUNK_ROWS };
  });
  const ended = new AbortController();
  const stop = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
  const runs = tasks.map((task) => runTask(task, stop));
  try {
    return (await Promise.all(runs)).flat();
  } finally {
    ended.abort();
    await Promise.allSettled(runs);
  }
}

function checkCount(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new RangeError(`${name} must be an integer in 1..${max}, not ${value}`);
}

/** Copies the columns once into shared memory. Its length is fixed: growable memory is read thirty times slower. */
function shareInputs(inputs: readonly BatchInput[]): BatchInput[] {
  return inputs.map((input) => {
    const columns = input.columns.map((column) => {
      if (column instanceof Float64Array) return shareColumn(column);
      throw new FeedError(`a column of "${input.nodeId}" holds no numbers: it cannot be shared`);
    });
    return { ...input, endMs: shareColumn(input.endMs), columns };
  });
}

function shareColumn(column: Float64Array): Float64Array {
  const shared = new Float64Array(new SharedArrayBuffer(column.byteLength));
  shared.set(column);
  return shared;
}

/** Runs one worker to its answer; the worker has ended when the promise settles. */
async function runTask(task: SweepTask, stop: AbortSignal): Promise<readonly Float64Array[]> {
  const file = import.meta.url.endsWith(".ts") ? "./sweep-worker.ts" : "./sweep-worker.js";
  const worker = new Worker(new URL(file, import.meta.url), { workerData: task });
  let onStop = (): void => {};
  try {
    const answer = await new Promise<SweepAnswer>((resolve, reject) => {
      onStop = () => reject(stop.reason);
      stop.addEventListener("abort", onStop);
      worker.once("message", resolve);
      worker.once("error", (cause) => reject(new SweepError("a sweep worker failed", { cause })));
      worker.once("exit", () => reject(new SweepError("a sweep worker ended without an answer")));
    });
    if (answer.kind === "done") return answer.values;
    throw new SweepError("a sweep worker failed", { cause: answer.cause });
  } finally {
    stop.removeEventListener("abort", onStop);
    await worker.terminate();
  }
}
