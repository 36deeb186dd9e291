import type { BusEvent } from "./event-bus.ts";

/** Which events of a log, and from where on. */
export interface WatchedRange {
  readonly topics: readonly string[];
  /** Where an earlier watch stopped. @default see `fromBeginning` */
  readonly cursor?: string | undefined;
  /** Without a cursor: at the oldest event kept, or after the newest one. */
  readonly fromBeginning: boolean;
}

/** Some events in their order, and where to continue after them. */
export interface WatchedEvents {
  /** Number of the log they come from. */
  readonly logId: number;
  readonly events: readonly BusEvent[];
  readonly cursor: string;
}

/** A log of events that can be followed from a cursor: the process's own, or one of a peer. */
export interface EventSource {
  /** Used in log lines, and to store the cursors of groups; unique among the sources of a bus. */
  readonly name: string;
  /**
   * The first answer comes at once, perhaps without events: from then on nothing is missed. Ends when the signal
   * aborts.
   *
   * @throws {QmtlError} TRIMMED when events after the cursor are gone or the log was created again; INVALID_FIELD for a
   * malformed cursor; the reason of an outage, after which watching from the last cursor continues without a gap.
   */
  watch(range: WatchedRange, signal: AbortSignal): AsyncIterable<WatchedEvents>;
  /** Closes the connection, if there is one. May be called twice. */
  close(): void;
}
