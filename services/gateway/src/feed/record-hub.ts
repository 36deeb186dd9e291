import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { TimelineState } from "@qmtl/core/queues";

/** An effective record. */
export interface LiveRecord {
  readonly record: QueueRecord;
  /** Its seq; of a START that of the record after it. */
  readonly seq: number;
}

/** Follows queues. Implemented by `RunnerStream`. */
export interface LiveReader {
  /** Effective records of queues that it follows, in order per queue. */
  takeRecords(records: readonly LiveRecord[]): void;
  /** The rows of a slice, or of a batch that ends with it, of queues that it follows; all of it is booked. */
  takeSlice(timeMs: number, records: readonly LiveRecord[]): void;
  /** Queues that it follows may have records that nobody reported: only the log knows. */
  lookAgain(computeKeys: readonly string[]): void;
}

interface HeldRow extends LiveRecord {
  readonly toRow: number;
}

/**
 * Passes on what this gateway appends to the log, to those that follow the queues. Rows of replay feeds are held until
 * their slice, or their batch, is booked.
 */
export class RecordHub {
  readonly #readers = new Map<string, Set<LiveReader>>();
  /** Rows that are effective and not booked, by feed: those of one slice, or of one batch. */
  readonly #held = new Map<string, HeldRow[]>();
  /** Last row of each feed that was shown. */
  readonly #shownRows = new Map<string, number>();

  follow(computeKey: string, reader: LiveReader): void {
    const readers = this.#readers.get(computeKey) ?? new Set();
    this.#readers.set(computeKey, readers.add(reader));
  }

  unfollow(computeKey: string, reader: LiveReader): void {
    const readers = this.#readers.get(computeKey);
    readers?.delete(reader);
    if (readers?.size === 0) this.#readers.delete(computeKey);
  }

  /** Whether anybody but this reader follows one of the queues. */
  isAwaited(computeKeys: readonly string[], by: LiveReader): boolean {
    return computeKeys.some((key) => {
      const readers = this.#readers.get(key);
      return readers !== undefined && readers.size > (readers.has(by) ? 1 : 0);
    });
  }

  /** Records became effective. */
  appended(records: readonly LiveRecord[]): void {
    for (const [reader, own] of this.#byReader(records)) reader.takeRecords(own);
  }

  /** A row of a feed became effective; it waits until its slice is booked. */
  hold(source: string, toRow: number, live: LiveRecord): void {
    if (!this.#readers.has(live.record.computeKey)) return;
    const held = this.#held.get(source) ?? [];
    held.push({ ...live, toRow });
    this.#held.set(source, held);
  }

  /**
   * Passes on the rows of a timeline, all of a slice or of a batch together: they are booked, or an earlier owner of it
   * appended them, and whoever follows finds them in the log.
   */
  show({ feeds, slice }: TimelineState): void {
    for (const [source, { logRow }] of feeds) this.#shownRows.set(source, logRow);
    this.#passOn([...feeds.keys()], slice.timeMs);
  }

  /** Passes on rows of a feed that came again, after they were shown. */
  showAgain(source: string, timeMs: number): void {
    this.#passOn([source], timeMs);
  }

  #passOn(sources: readonly string[], timeMs: number): void {
    if (this.#held.size === 0) return;
    const records: LiveRecord[] = [];
    for (const source of sources) {
      const held = this.#held.get(source);
      if (held === undefined) continue;
      const shownRow = this.#shownRows.get(source) ?? Number.NEGATIVE_INFINITY;
      records.push(...held.filter(({ toRow }) => toRow <= shownRow));
      const rest = held.filter(({ toRow }) => toRow > shownRow);
      if (rest.length > 0) this.#held.set(source, rest);
      else this.#held.delete(source);
    }
    for (const [reader, own] of this.#byReader(records)) reader.takeSlice(timeMs, own);
  }

  /** Records of these queues may have become effective, and it is not known whether they did. */
  unsure(computeKeys: Iterable<string>): void {
    const keysOf = new Map<LiveReader, Set<string>>();
    for (const key of computeKeys) {
      for (const reader of this.#readers.get(key) ?? []) {
        keysOf.set(reader, (keysOf.get(reader) ?? new Set()).add(key));
      }
    }
    for (const [reader, keys] of keysOf) reader.lookAgain([...keys]);
  }

  #byReader(records: readonly LiveRecord[]): Map<LiveReader, LiveRecord[]> {
    const byReader = new Map<LiveReader, LiveRecord[]>();
    for (const live of records) {
      for (const reader of this.#readers.get(live.record.computeKey) ?? []) {
        const own = byReader.get(reader);
        if (own === undefined) byReader.set(reader, [live]);
        else own.push(live);
      }
    }
    return byReader;
  }
}
