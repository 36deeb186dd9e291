import { type AxisInput, type BatchAxis, type BatchInput, batchAxes } from "./batch-axis.ts";
import { BatchCollector, type BatchColumns } from "./batch-collector.ts";
import { Engine } from "./engine.ts";
import { loadNode, saveNode } from "./node-state.ts";
import { CHUNK_ROWS, type Plan } from "./plan.ts";
import { FeedError } from "./run-error.ts";

/** Where a batch run continues from. */
export interface BatchRestore {
  /** Rows of every input, at its front, that only fill the windows (the plan's `restoreRows`). */
  readonly rows: number;
  /** States after those rows, by node id. */
  readonly states: ReadonlyMap<string, Uint8Array>;
  /** Recorded rows of the plan's `historyNodes`; axes as the inputs. */
  readonly history: readonly BatchInput[];
}

/** What a batch run computes. */
export interface BatchOptions {
  /** What to run. */
  readonly plan: Plan;
  /** Rows of every supplied node. */
  readonly inputs: readonly BatchInput[];
  /** Nodes whose outputs are collected. */
  readonly collect: readonly string[];
  /** Nodes of which only the first output's value at the last row is wanted, not whole columns. @default none */
  readonly last?: readonly string[];
  /** State from which the run continues. @default none: it begins at the first row */
  readonly restore?: BatchRestore;
  /** Largest number of rows of a clock computed at a time. @default 2048 */
  readonly chunk?: number;
  /** Called after each segment with the number of rows done and in total, over all clocks. @default none */
  readonly onProgress?: (rowsDone: number, rowsTotal: number) => void;
}

/** Result of a batch run. */
export interface BatchResult {
  /** Collected columns by node id; rows of a restore are left out. */
  readonly columns: ReadonlyMap<string, BatchColumns>;
  /** Last row's value of each node asked for; NaN = no value. */
  readonly last: ReadonlyMap<string, number>;
  /** Rows each computed node was run on, by node id. */
  readonly evaluations: ReadonlyMap<string, number>;
  /** States after the last row, by node id; only nodes with state. */
  readonly states: ReadonlyMap<string, Uint8Array>;
}

/**
 * Runs a plan over whole columns, a chunk of rows at a time. Memory is constant, except for inputs and collected
 * outputs.
 *
 * @param options plan, rows, and what to collect
 * @returns the collected columns, last values, states and evaluation counts
 * @throws {FeedError} when inputs do not fit the plan.
 * @throws {RangeError} for a chunk below 1, or a bucket end that does not fit its continuous clock.
 * @throws {ComputeError | MissingBucketError} naming node, row and time.
 */
export function runBatch(options: BatchOptions): BatchResult {
  const { plan } = options;
  const chunk = options.chunk ?? CHUNK_ROWS;
  if (!Number.isInteger(chunk) || chunk < 1) throw new RangeError("chunk must be an integer ≥ 1");
  const engine = new Engine(plan, chunk);
  const axes = batchAxes(plan, options.inputs);
  axes.forEach((axis, c) => {
    engine.frames[c]!.start(axis.firstRow);
  });
  const skip = options.restore?.rows ?? 0;
  if (options.restore !== undefined) restore(engine, axes, options.restore, chunk);
  const collector = new BatchCollector(plan, engine, axes, options.collect, skip);
  const rest = axes.map((axis) => tailAxis(axis, skip));
  const rowsTotal = rest.reduce((sum, axis) => sum + axis.endMs.length, 0);
  const done = new Int32Array(axes.length);
  for (const ends of batchSegments(rest, chunk)) {
    runAxes(engine, axes, done, ends, skip, []);
    collector.take(done, ends);
    done.set(ends);
    options.onProgress?.(
      done.reduce((sum, rows) => sum + rows, 0),
      rowsTotal,
    );
  }
  return {
    columns: collector.columns(),
    last: new Map((options.last ?? []).map((id) => [id, lastValue(engine, id)])),
    evaluations: new Map(computed(plan).map(([id, k]) => [id, engine.evaluations(k)])),
    states: new Map(
      computed(plan)
        .map(([id, k]) => [id, saveNode(engine, k)] as const)
        .filter(([, bytes]) => bytes.length > 0),
    ),
  };
}

function lastValue(engine: Engine, id: string): number {
  const node = engine.plan.nodeIndex.get(id);
  if (node === undefined) throw new FeedError(`the plan has no node ${id}`);
  const { slots, clock } = engine.plan.nodes[node]!;
  const value = engine.columns[slots[0]!]![engine.frames[clock]!.end - 1];
  return typeof value === "number" ? value : Number.NaN;
}

function computed(plan: Plan): [string, number][] {
  return plan.nodes.flatMap((node, k) => (node.supplied ? [] : [[node.id, k] as [string, number]]));
}

/** Opens the rows `[done, ends)` (plus `skip`) of every clock, writes the supplied columns and runs them. */
function runAxes(
  engine: Engine,
  axes: readonly BatchAxis[],
  done: Int32Array,
  ends: Int32Array,
  skip: number,
  extra: readonly (AxisInput & { readonly clock: number })[],
): void {
  axes.forEach((axis, c) => {
    const first = done[c]! + skip;
    const last = ends[c]! + skip;
    if (first === last) return;
    const frame = engine.frames[c]!;
    frame.open(last - first);
    frame.endMs.values.set(axis.endMs.subarray(first, last), frame.from);
    for (const input of axis.inputs) writeRows(engine, c, input, first, last);
    for (const input of extra) {
      if (input.clock !== c) continue;
      writeRows(engine, c, input, first, last);
      engine.recorded[input.node] = 1;
    }
  });
  engine.runSegment();
}

function writeRows(
  engine: Engine,
  clock: number,
  axis: AxisInput,
  first: number,
  last: number,
): void {
  const { input, rows, node } = axis;
  const at = engine.frames[clock]!.from;
  engine.plan.nodes[node]!.slots.forEach((slot, k) => {
    const target = engine.columns[slot]!;
    const source = input.columns[k]!;
    if (rows === null && target instanceof Float64Array && source instanceof Float64Array) {
      target.set(source.subarray(first, last), at);
      return;
    }
    for (let i = first; i < last; i++)
      target[at + i - first] = source[rows === null ? i : rows[i]!];
  });
  if (rows === null && input.missing === undefined) return;
  for (let i = first; i < last; i++) {
    const row = rows === null ? i : rows[i]!;
    if (row < 0 || input.missing?.[row] === 1) engine.writeMissing(node, at + i - first);
  }
}

function tailAxis(axis: BatchAxis, skip: number): BatchAxis {
  return { ...axis, endMs: axis.endMs.subarray(skip) };
}

function restore(
  engine: Engine,
  axes: readonly BatchAxis[],
  from: BatchRestore,
  chunk: number,
): void {
  const { plan } = engine;
  const extra = from.history.map((input) => {
    const node = plan.nodeIndex.get(input.nodeId);
    if (node === undefined) throw new FeedError(`the plan has no node ${input.nodeId}`);
    return { node, input, rows: null, clock: plan.nodes[node]!.clock };
  });
  const head = axes.map((axis) => ({ ...axis, endMs: axis.endMs.subarray(0, from.rows) }));
  const done = new Int32Array(axes.length);
  engine.isRestoring = true;
  for (const ends of batchSegments(head, chunk)) {
    runAxes(engine, axes, done, ends, 0, extra);
    done.set(ends);
  }
  engine.isRestoring = false;
  for (const [id, bytes] of from.states) {
    const node = plan.nodeIndex.get(id);
    if (node !== undefined) loadNode(engine, node, bytes);
  }
}

/**
 * Cuts the axes into segments: each ends at one time up to which every clock advances, by at most `chunk` rows.
 * Yields the end row of every clock.
 */
function* batchSegments(axes: readonly BatchAxis[], chunk: number): Generator<Int32Array> {
  const done = new Int32Array(axes.length);
  for (;;) {
    let until = Number.POSITIVE_INFINITY;
    let hasRows = false;
    axes.forEach(({ endMs }, c) => {
      if (done[c]! >= endMs.length) return;
      hasRows = true;
      if (done[c]! + chunk < endMs.length) until = Math.min(until, endMs[done[c]! + chunk - 1]!);
    });
    if (!hasRows) return;
    axes.forEach(({ endMs }, c) => {
      const rest = Math.min(endMs.length, done[c]! + chunk);
      done[c] = until === Number.POSITIVE_INFINITY ? rest : rowsUntil(endMs, done[c]!, rest, until);
    });
    yield done.slice();
  }
}

/** First row in `[from, to)` that ends after `until`, else `to`. */
function rowsUntil(endMs: Float64Array, from: number, to: number, until: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endMs[middle]! <= until) low = middle + 1;
    else high = middle;
  }
  return low;
}
