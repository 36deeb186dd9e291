/** Row evaluations of this process, by what they were for. */
export interface Evaluations {
  /** Nodes up to the target, sources included, in steady state. */
  shared: number;
  /** Steps after the target. */
  own: number;
  /** Private rows of history, and rows computed again to take a node over. */
  warmup: number;
  /** Rows that two contexts computed while the strategy changed context. */
  swap: number;
}

/** No evaluations. */
export const noEvaluations = (): Evaluations => ({ shared: 0, own: 0, warmup: 0, swap: 0 });
