import type { BusEvent, OutgoingEvent } from "./event-bus.ts";

/** Largest number of events kept. */
const countMax = 256;
/** Most bytes of payload kept, unless one event alone is larger. */
const bytesMax = 1024 * 1024;

/**
 * What this process appended last, without a gap in the positions: a reader that has read everything before need not
 * read it from the database. An append of another process leaves a gap, after which only the newer part is kept.
 */
export class RecentEvents {
  #events: BusEvent[] = [];
  #bytes = 0;
  #newest = 0;

  /** Position of the newest event that this process appended; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Takes what was appended at these positions. */
  add(events: readonly OutgoingEvent[], positions: readonly number[]): void {
    events.forEach((event, at) => {
      this.#add(event, positions[at] ?? 0);
    });
    while (this.#events.length > countMax || (this.#bytes > bytesMax && this.#events.length > 1)) {
      this.#bytes -= this.#events.shift()?.payload.length ?? 0;
    }
  }

  /**
   * Events after each topic's position, for a reader that has all that was appended up to `readTo`; undefined when
   * something may lie between that and what is kept here, or when there is nothing new: then the database is asked.
   */
  after(
    readTo: number | undefined,
    positions: ReadonlyMap<string, number>,
  ): BusEvent[] | undefined {
    const [first] = this.#events;
    if (readTo === undefined || first === undefined) return undefined;
    if (first.position > readTo + 1 || this.#newest <= readTo) return undefined;
    return this.#events.filter(({ topic, position }) => {
      const last = positions.get(topic);
      return last !== undefined && position > Math.max(readTo, last);
    });
  }

  #add({ topic, key, payload, headers }: OutgoingEvent, position: number): void {
    // A later append may resolve first; by then a reader is past this one.
    if (position <= this.#newest) return;
    if (position > this.#newest + 1) {
      this.#events = [];
      this.#bytes = 0;
    }
    this.#newest = position;
    this.#bytes += payload.length;
    // Copies, so that the caller may change its own afterwards.
    const kept = { payload: payload.slice(), headers: { ...headers } };
    this.#events.push({ topic, key, ...kept, partition: 0, position });
  }
}
