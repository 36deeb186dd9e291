import type { Plan } from "./plan.ts";
import { FeedError } from "./run-error.ts";
import { type ClockSpec, continuousRow } from "./schedule.ts";

/** All rows of a supplied node, for a batch run. */
export interface BatchInput {
  readonly nodeId: string;
  /** Bucket ends, milliseconds, strictly increasing. */
  readonly endMs: Float64Array;
  /** Absolute row of the first row; `observed` clocks only (`continuous` rows follow from the time). @default 0 */
  readonly firstRow?: number;
  /** One column per output, `length = rows`. */
  readonly columns: readonly (Float64Array | readonly unknown[])[];
  /** 1 where the bucket is missing. @default none */
  readonly missing?: Uint8Array;
}

/** A supplied node on its clock's axis. */
export interface AxisInput {
  readonly node: number;
  readonly input: BatchInput;
  /** Row of the input per row of the axis, −1 = missing; `null` = the same row. */
  readonly rows: Int32Array | null;
}

/** All buckets of one clock in a batch run. */
export interface BatchAxis {
  readonly endMs: Float64Array;
  readonly firstRow: number;
  readonly inputs: readonly AxisInput[];
}

/**
 * Lays the inputs of each clock on one axis: for `observed` the union of their bucket ends, for `continuous` every
 * bucket between the first and the last.
 *
 * @throws {FeedError} naming the node whose rows do not fit.
 * @throws {RangeError} for a bucket end that does not fit its continuous clock.
 */
export function batchAxes(plan: Plan, inputs: readonly BatchInput[]): BatchAxis[] {
  const byNode = new Map(inputs.map((input) => [input.nodeId, input]));
  const perClock: [number, BatchInput][][] = plan.clocks.map(() => []);
  plan.nodes.forEach((node, index) => {
    if (!node.supplied) return;
    const input = byNode.get(node.id);
    if (input === undefined) throw new FeedError(`no rows were supplied for node "${node.name}"`);
    checkInput(node.name, node.slots.length, input);
    perClock[node.clock]!.push([index, input]);
  });
  return plan.clocks.map((clock, c) => makeAxis(clock.spec, perClock[c]!));
}

function checkInput(name: string, outputs: number, input: BatchInput): void {
  const { endMs, columns } = input;
  if (columns.length !== outputs || columns.some((column) => column.length !== endMs.length)) {
    throw new FeedError(`node "${name}": expected ${outputs} columns of ${endMs.length} rows`);
  }
  let last = Number.NEGATIVE_INFINITY;
  let increases = true; // a flag and no early exit: twice as fast, and every run makes this check
  for (let i = 0; i < endMs.length; i++) {
    const end = endMs[i]!;
    increases = increases && end > last;
    last = end;
  }
  if (increases) return;
  const row = endMs.findIndex((end, i) => !(end > (endMs[i - 1] ?? Number.NEGATIVE_INFINITY)));
  throw new FeedError(`node "${name}": bucket ends do not increase at row ${row} (${endMs[row]})`);
}

function makeAxis(spec: ClockSpec, given: readonly [number, BatchInput][]): BatchAxis {
  const endMs = axisTimes(
    spec,
    given.map(([, input]) => input.endMs),
  );
  const inputs = given.map(([node, input]) => ({ node, input, rows: place(input.endMs, endMs) }));
  return { endMs, inputs, firstRow: firstRow(spec, endMs, given) };
}

function firstRow(
  spec: ClockSpec,
  endMs: Float64Array,
  given: readonly [number, BatchInput][],
): number {
  if (endMs.length === 0) return 0;
  if (spec.schedule === "continuous") return continuousRow(endMs[0]!, spec.intervalMs);
  const earliest = given.find(([, input]) => input.endMs[0] === endMs[0]);
  return earliest?.[1].firstRow ?? 0;
}

function axisTimes(spec: ClockSpec, columns: readonly Float64Array[]): Float64Array {
  const first = columns[0] ?? new Float64Array(0);
  if (spec.schedule === "observed") {
    if (columns.every((column) => place(column, first) === null)) return first;
    return Float64Array.from(new Set(columns.flatMap((column) => [...column]))).sort();
  }
  const step = spec.intervalMs;
  const filled = columns.filter((column) => column.length > 0);
  if (filled.length === 0) return first;
  const start = Math.min(...filled.map((column) => column[0]!));
  const end = Math.max(...filled.map((column) => column.at(-1)!));
  for (const column of filled) for (const time of column) continuousRow(time, step);
  return Float64Array.from({ length: (end - start) / step + 1 }, (_, i) => start + i * step);
}

/** Where each axis row lies in `times`, or `null` if the two are equal. */
function place(times: Float64Array, axis: Float64Array): Int32Array | null {
  if (times === axis) return null;
  if (times.length === axis.length && times.every((time, i) => time === axis[i])) return null;
  const rows = new Int32Array(axis.length).fill(-1);
  let next = 0;
  for (let i = 0; i < axis.length; i++) {
    if (times[next] === axis[i]) rows[i] = next++;
  }
  return rows;
}
