import type { BatchAxis } from "./batch-axis.ts";
import type { Engine } from "./engine.ts";
import type { Plan } from "./plan.ts";
import { FeedError } from "./run-error.ts";

/** The rows of one node over a whole run. */
export interface BatchColumns {
  /** Absolute row of the first. */
  readonly firstRow: number;
  /** Bucket ends, milliseconds, `length = rows`. */
  readonly endMs: Float64Array;
  /** One column per output, `length = rows`; NaN or `undefined` = no value. */
  readonly values: readonly (Float64Array | unknown[])[];
  /** 1 where the node's bucket is missing. */
  readonly missing: Uint8Array;
}

interface CollectedNode {
  readonly id: string;
  readonly node: number;
  readonly columns: BatchColumns;
}

/** Copies the wanted outputs out of the sliding columns, segment by segment. */
export class BatchCollector {
  readonly #plan: Plan;
  readonly #engine: Engine;
  readonly #collected: readonly CollectedNode[];

  constructor(
    plan: Plan,
    engine: Engine,
    axes: readonly BatchAxis[],
    ids: readonly string[],
    skip: number,
  ) {
    this.#plan = plan;
    this.#engine = engine;
    this.#collected = ids.map((id) => {
      const node = plan.nodeIndex.get(id);
      if (node === undefined) throw new FeedError(`the plan has no node ${id}`);
      const { clock, slots } = plan.nodes[node]!;
      const axis = axes[clock]!;
      const endMs = axis.endMs.subarray(skip);
      const values = slots.map((slot) =>
        plan.slots[slot]!.kind === "f64"
          ? new Float64Array(endMs.length)
          : new Array<unknown>(endMs.length).fill(undefined),
      );
      const missing = new Uint8Array(endMs.length);
      return { id, node, columns: { firstRow: axis.firstRow + skip, endMs, values, missing } };
    });
  }

  /** Takes rows `[done, ends)` of every clock, just computed. */
  take(done: Int32Array, ends: Int32Array): void {
    for (const { node, columns } of this.#collected) {
      const { clock, slots, lane } = this.#plan.nodes[node]!;
      const first = done[clock]!;
      const count = ends[clock]! - first;
      const frame = this.#engine.frames[clock]!;
      const at = frame.end - count;
      slots.forEach((slot, k) => {
        const source = this.#engine.columns[slot]!;
        const target = columns.values[k]!;
        if (source instanceof Float64Array && target instanceof Float64Array) {
          target.set(source.subarray(at, frame.end), first);
        } else {
          for (let i = 0; i < count; i++) target[first + i] = source[at + i];
        }
      });
      if (!frame.hasMissing) continue;
      const presence = this.#engine.presence[lane]!;
      for (let i = 0; i < count; i++) columns.missing[first + i] = 1 - presence[at + i]!;
    }
  }

  columns(): ReadonlyMap<string, BatchColumns> {
    return new Map(this.#collected.map(({ id, columns }) => [id, columns]));
  }
}
