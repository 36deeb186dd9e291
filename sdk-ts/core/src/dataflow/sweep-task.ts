import type { BatchInput } from "./batch-axis.ts";
import type { SweepVariant } from "./sweep.ts";

/** What a module that a sweep in workers imports must export. Functions do not travel to a worker, modules do. */
export interface SweepModule {
  /** Variant `index`, the same in every thread. `data` is what the caller gave, copied. */
  sweepVariant(index: number, data: unknown): SweepVariant;
}

/** The share of one worker: variants `[first, end)`. */
export interface SweepTask {
  /** URL of the {@link SweepModule}. */
  readonly module: string;
  readonly data: unknown;
  readonly first: number;
  readonly end: number;
  /** Columns in shared memory of fixed length. */
  readonly inputs: readonly BatchInput[];
  readonly chunk: number;
}

/** What a worker answers, once. */
export type SweepAnswer =
  | { readonly kind: "done"; readonly values: readonly Float64Array[] }
  | { readonly kind: "failed"; readonly cause: unknown };
