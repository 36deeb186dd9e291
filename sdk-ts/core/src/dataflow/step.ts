import type { Column } from "../nodes/kernel.ts";
import type { ClockFrame } from "./clock-frame.ts";
import { Engine } from "./engine.ts";
import { loadNode, saveNode } from "./node-state.ts";
import { CHUNK_ROWS, type Plan } from "./plan.ts";
import { FeedError } from "./run-error.ts";

/**
 * Runs a plan bucket by bucket, for runs whose rows arrive one at a time.
 *
 * For each bucket end: push one row (or a missing one) for every supplied node of each clock that has a bucket ending
 * there, then call {@link step} once. Buckets come in order of their end. A row costs no allocation.
 */
export class StepExecutor {
  readonly plan: Plan;
  readonly #engine: Engine;
  readonly #clocks: readonly StepClock[];
  readonly #feeds: readonly (Feed | undefined)[]; // per node; undefined if it is not supplied
  #steps = 1;

  /**
   * @param plan what to run
   * @param options `chunk`: rows for which columns are allocated at a time. @default 2048
   */
  constructor(plan: Plan, options: { readonly chunk?: number } = {}) {
    this.plan = plan;
    this.#engine = new Engine(plan, options.chunk ?? CHUNK_ROWS);
    this.#clocks = this.#engine.frames.map((frame, c) => ({
      frame,
      supplied: plan.nodes.filter((node) => node.supplied && node.clock === c).length,
      pushed: 0,
    }));
    this.#feeds = plan.nodes.map((node) =>
      node.supplied
        ? { clock: this.#clocks[node.clock]!, numbers: this.#numbers(node.slots), pushedAt: 0 }
        : undefined,
    );
  }

  /**
   * @param nodeId id of a node of the plan
   * @returns its handle, for the calls below
   * @throws {FeedError} when the plan does not have it.
   */
  handle(nodeId: string): number {
    const index = this.plan.nodeIndex.get(nodeId);
    if (index === undefined) throw new FeedError(`the plan has no node ${nodeId}`);
    return index;
  }

  /**
   * Takes a row of a supplied node.
   *
   * @param handle handle of the node
   * @param row absolute number of the row
   * @param bucketEndMs end of its bucket, milliseconds since the epoch
   * @param values one per output
   * @throws {FeedError} when the row does not follow the last one, or the node is not supplied.
   */
  push(handle: number, row: number, bucketEndMs: number, values: ArrayLike<unknown>): void {
    this.#write(handle, this.#open(handle, row, bucketEndMs), values);
  }

  /** Takes a row of a supplied node whose bucket is missing; otherwise as {@link push}. */
  pushMissing(handle: number, row: number, bucketEndMs: number): void {
    const i = this.#open(handle, row, bucketEndMs);
    this.#engine.writeMissing(handle, i);
  }

  /** Computes the bucket that ends at `bucketEndMs`. @throws {FeedError} when a supplied row is missing. */
  step(bucketEndMs: number): void {
    let advances = false;
    for (let c = 0; c < this.#clocks.length; c++) {
      const clock = this.#clocks[c]!;
      const { frame } = clock;
      if (frame.from < 0) continue;
      advances = true;
      if (clock.pushed !== clock.supplied) throw this.#lacking(c);
      const endMs = frame.endMs.values[frame.from]!;
      if (endMs !== bucketEndMs) {
        throw new FeedError(`pushed rows end at ${endMs}, but the step is for ${bucketEndMs}`);
      }
      clock.pushed = 0;
    }
    if (!advances)
      throw new FeedError(`no row was pushed for the bucket that ends at ${bucketEndMs}`);
    this.#engine.runSegment();
    this.#steps++;
  }

  /**
   * One bucket of the past, before {@link load}: fills the windows without running nodes with state or counting
   * evaluations. The plan's `restoreRows` rows of every clock are needed.
   * @param record rows of the plan's `historyNodes`, by handle; `null` = missing.
   */
  restoreStep(
    bucketEndMs: number,
    record: Iterable<readonly [handle: number, values: ArrayLike<unknown> | null]> = [],
  ): void {
    const engine = this.#engine;
    for (const [handle, values] of record) {
      const i = engine.frames[this.plan.nodes[handle]!.clock]!.from;
      if (i < 0) continue;
      if (values === null) engine.writeMissing(handle, i);
      else this.#writeAny(handle, i, values);
      engine.recorded[handle] = 1;
    }
    engine.isRestoring = true;
    try {
      this.step(bucketEndMs);
    } finally {
      engine.isRestoring = false;
    }
  }

  /** @returns the state of a node after the last row, as canonical bytes; empty for a node without state */
  save(handle: number): Uint8Array {
    return saveNode(this.#engine, handle);
  }

  /** Restores a saved state; call it once the rows before it went through {@link restoreStep}. */
  load(handle: number, bytes: Uint8Array): void {
    loadNode(this.#engine, handle, bytes);
  }

  /** @returns whether the last row of the node is present, as opposed to missing */
  isPresent(handle: number): boolean {
    const { lane, clock } = this.plan.nodes[handle]!;
    return this.#engine.presence[lane]![this.#engine.frames[clock]!.end - 1] === 1;
  }

  /** @returns a number output of the node's last row, by its index; NaN = no value */
  value(handle: number, output = 0): number {
    const { slots, clock } = this.plan.nodes[handle]!;
    const column = this.#engine.columns[slots[output]!]!;
    const value = column[this.#engine.frames[clock]!.end - 1];
    return typeof value === "number" ? value : Number.NaN;
  }

  /** @returns an object output of the node's last row, by its index */
  ref(handle: number, output = 0): unknown {
    const { slots, clock } = this.plan.nodes[handle]!;
    return this.#engine.columns[slots[output]!]![this.#engine.frames[clock]!.end - 1];
  }

  /** @returns the absolute number of the last row of the node's clock; NaN before the first */
  row(handle: number): number {
    const frame = this.#engine.frames[this.plan.nodes[handle]!.clock]!;
    return frame.isStarted ? frame.base + frame.end - 1 : Number.NaN;
  }

  /** @returns the number of rows on which the node has been computed */
  evaluations(handle: number): number {
    return this.#engine.evaluations(handle);
  }

  /**
   * The windows of a node's inputs at its last row, oldest first, `lookback + 1` values per input in port order:
   * what its determinism check hashes. Allocates.
   */
  inputWindows(handle: number): Float64Array[] {
    const engine = this.#engine;
    const { lane, lookback } = this.plan.nodes[handle]!;
    return this.plan.lanes[lane]!.ports.map((port, k) => {
      const own = engine.frames[this.plan.lanes[lane]!.clock]!.end - 1;
      return copyWindow(engine.columns[port.slot]!, engine.mappedRow(lane, k, own), lookback + 1);
    });
  }

  /** Local row the next row of a node is written to. Short, so that it is compiled into its callers. */
  #open(handle: number, row: number, bucketEndMs: number): number {
    const feed = this.#feeds[handle];
    if (feed === undefined) throw this.#refusal(handle, "is computed here, not supplied");
    const { frame } = feed.clock;
    if (frame.from < 0) this.#begin(frame, handle, row, bucketEndMs);
    else if (frame.endMs.values[frame.from] !== bucketEndMs || feed.pushedAt === this.#steps) {
      throw this.#misplaced(handle, row, bucketEndMs);
    }
    if (frame.base + frame.from !== row) throw this.#misplaced(handle, row, bucketEndMs);
    feed.pushedAt = this.#steps;
    feed.clock.pushed++;
    return frame.from;
  }

  /** Opens the bucket of a clock with the first row that is pushed for it. */
  #begin(frame: ClockFrame, handle: number, row: number, bucketEndMs: number): void {
    if (!frame.isStarted) frame.start(row);
    if (bucketEndMs <= frame.endMs.values[frame.end - 1]!) {
      throw this.#refusal(handle, `bucket end ${bucketEndMs} is not after the last`);
    }
    frame.open(1);
    frame.endMs.values[frame.from] = bucketEndMs;
  }

  #misplaced(handle: number, row: number, bucketEndMs: number): FeedError {
    const frame = this.#engine.frames[this.plan.nodes[handle]!.clock]!;
    const due = { row: frame.base + frame.from, endMs: frame.endMs.values[frame.from] };
    const problem =
      due.row === row && due.endMs === bucketEndMs
        ? `row ${row} was pushed twice`
        : `expected row ${due.row} ending ${due.endMs}, but row ${row} ending ${bucketEndMs} was pushed`;
    return this.#refusal(handle, problem);
  }

  #refusal(handle: number, problem: string): FeedError {
    return new FeedError(`node "${this.plan.nodes[handle]!.name}": ${problem}`);
  }

  #write(handle: number, i: number, values: ArrayLike<unknown>): void {
    const columns = this.#feeds[handle]?.numbers;
    if (columns === undefined) {
      this.#writeAny(handle, i, values);
      return;
    }
    for (let k = 0; k < columns.length; k++) {
      const value = values[k];
      columns[k]![i] = typeof value === "number" ? value : Number.NaN;
    }
  }

  #writeAny(handle: number, i: number, values: ArrayLike<unknown>): void {
    this.plan.nodes[handle]!.slots.forEach((slot, k) => {
      const column = this.#engine.columns[slot]!;
      const value = values[k];
      if (!(column instanceof Float64Array)) column[i] = value;
      else column[i] = typeof value === "number" ? value : Number.NaN;
    });
  }

  #numbers(slots: readonly number[]): readonly Float64Array[] | undefined {
    const columns = slots.map((slot) => this.#engine.columns[slot]!);
    return columns.every((column) => column instanceof Float64Array) ? columns : undefined;
  }

  #lacking(clock: number): FeedError {
    const names = this.plan.nodes
      .filter(
        (node, k) =>
          node.clock === clock && (this.#feeds[k]?.pushedAt ?? this.#steps) !== this.#steps,
      )
      .map((node) => `"${node.name}"`);
    return new FeedError(`no row was pushed for ${names.join(", ")}`);
  }
}

/** What has been pushed on one clock. */
interface StepClock {
  readonly frame: ClockFrame;
  /** Supplied nodes on it. */
  readonly supplied: number;
  /** Of these, pushed for the next step. */
  pushed: number;
}

/** A supplied node. */
interface Feed {
  readonly clock: StepClock;
  /** Its columns, if it has no objects. */
  readonly numbers: readonly Float64Array[] | undefined;
  /** Number of the step its last row was pushed for. */
  pushedAt: number;
}

function copyWindow(column: Column, row: number, rows: number): Float64Array {
  if (!(column instanceof Float64Array) || row < 0) return new Float64Array(rows).fill(Number.NaN);
  return column.slice(row + 1 - rows, row + 1);
}
