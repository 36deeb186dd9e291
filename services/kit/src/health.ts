/** What a server's health reports besides that the process is alive. */
export interface HealthSource {
  /**
   * Names and whether they serve: those of contracts, which are SERVING when they are left out, and names of what the
   * service depends on, such as `store/postgres` or `peer/world-service`.
   */
  states(): ReadonlyMap<string, boolean>;
  /** Calls `listener` when a state may have changed. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void;
}
