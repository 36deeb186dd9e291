/** Reports how calls to one dependency end: a database, a broker, another service. */
export interface DependencyMonitor {
  /** A call was answered, even if with a refusal. */
  answered(): void;
  /**
   * A call that began at `beganAtMs` (monotonic) was not answered. Ignored when another call was answered since: then
   * it belongs to an outage that is over.
   */
  failed(failure: unknown, beganAtMs: number): void;
}
