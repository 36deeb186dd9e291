/** A run as its parts see it: they move it on, and a failure of theirs ends it. */
export interface OngoingRun {
  /** Something changed: everything that can go on does. */
  moveOn(): void;
  /** Does work whose failure ends the run. */
  guard(work: () => void): void;
  /** Ends the run with a failure; the first one counts. */
  fail(failure: unknown): void;
}
