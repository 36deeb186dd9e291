import type { BatchInput } from "./batch-axis.ts";
import type { SweepVariant } from "./sweep.ts";

/** What the module of a sweep in workers must export. A worker cannot receive a function, but can import a module. */
export interface SweepModule {
  /**
   * @param index number of the variant, from 0
   * @param data a copy of what the caller gave
   * @returns the variant; it must be the same in every thread
   */
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
