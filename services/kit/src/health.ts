/** What a server's health says besides that the process lives. */
export interface HealthSource {
  /**
   * Names and whether they serve: those of contracts, which are SERVING where nothing is said of them, and names of what
   * the service stands on, such as `store/postgres` or `peer/world-service`.
   */
  states(): ReadonlyMap<string, boolean>;
  /** Calls back when a state may have changed. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void;
}
