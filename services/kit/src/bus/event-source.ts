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
  /** Number of the log they are of. */
  readonly logId: number;
  readonly events: readonly BusEvent[];
  readonly cursor: string;
}

/** A log of events that can be followed from a cursor: the process's own, or one of a peer. */
export interface EventSource {
  /** For messages, and for the places of groups; unique among the sources of a bus. */
  readonly name: string;
  /**
   * The first answer comes at once, perhaps without events: from then on nothing is missed. Ends when the signal aborts.
   *
   * @throws {QmtlError} TRIMMED when events after the cursor are gone or the log was created again; INVALID_FIELD for a
   * cursor that is none; an outage, after which watching again from the last cursor continues without a gap.
   */
  watch(range: WatchedRange, signal: AbortSignal): AsyncIterable<WatchedEvents>;
  /** Lets the connection go, if there is one. May be called twice. */
  close(): void;
}
