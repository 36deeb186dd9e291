import type { TimelineState } from "@qmtl/core/queues";

/** No row of a feed from `row` on ends at `timeMs` or before. */
export interface Watermark {
  readonly source: string;
  readonly row: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
}

/**
 * Tells the readers of feeds how far the feeds that move with theirs stand: where a slice has no row of one of them, a
 * node over both would otherwise wait for a row that does not exist.
 */
export class WatermarkRegistry {
  readonly #readers = new Set<WatermarkReader>();

  /** Follows the timelines of these feeds; `changed` is called when there is something to tell. */
  follow(
    sources: ReadonlySet<string>,
    states: readonly TimelineState[],
    changed: () => void,
  ): WatermarkReader {
    const reader = new WatermarkReader(sources, changed, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    for (const state of states) if (hasBooked(state)) reader.take(state, standing(state));
    return reader;
  }

  /** A slice is booked. */
  booked(state: TimelineState): void {
    const { slice, feeds } = state;
    if (feeds.size < 2 || this.#readers.size === 0) return;
    const without = standing(state).filter(({ source }) => feeds.get(source)!.endMs < slice.timeMs);
    if (without.length === 0) return;
    for (const reader of this.#readers) reader.take(state, without);
  }
}

/** The newest watermark of each feed that a reader was not told yet. */
export class WatermarkReader {
  readonly #sources: ReadonlySet<string>;
  readonly #changed: () => void;
  readonly #leave: () => void;
  readonly #waiting = new Map<string, Watermark>();

  constructor(sources: ReadonlySet<string>, changed: () => void, leave: () => void) {
    this.#sources = sources;
    this.#changed = changed;
    this.#leave = leave;
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Takes watermarks of a timeline, if it is one of the reader's feeds'. */
  take({ feeds }: TimelineState, watermarks: readonly Watermark[]): void {
    if (![...this.#sources].some((source) => feeds.has(source))) return;
    for (const watermark of watermarks) this.#waiting.set(watermark.source, watermark);
    if (!this.isEmpty) this.#changed();
  }

  /** Removes and returns what waits. */
  drain(): Watermark[] {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    return all;
  }

  /** Nothing more is told. */
  end(): void {
    this.#leave();
  }
}

function hasBooked({ slice, feeds }: TimelineState): boolean {
  const isBooked = slice.phase !== "append" && slice.phase !== "book";
  return feeds.size > 1 && isBooked && Number.isFinite(slice.timeMs);
}

function standing({ slice, feeds }: TimelineState): Watermark[] {
  return [...feeds].map(([source, { logRow }]) => ({
    source,
    row: logRow + 1,
    timeMs: slice.timeMs,
  }));
}
