import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";

/** Events of one topic key kept for subscribers that come back. */
export const windowEventsMax = 4_096;

/** The newest events of one topic key: their revisions have no gap. */
export class TopicWindow {
  readonly key: string;
  #events: ControlEvent[] = [];
  #first = 1;

  constructor(key: string) {
    this.key = key;
  }

  /** Revision of the newest event; 0 for none. */
  get last(): number {
    return this.#first + this.#events.length - 1;
  }

  get newest(): ControlEvent | undefined {
    return this.#events.at(-1);
  }

  get events(): readonly ControlEvent[] {
    return this.#events;
  }

  /**
   * Adds the next event: `added`; `repeated` when it is there or older; `gap` when events before it are missing, then
   * the window begins anew with it.
   */
  add(event: ControlEvent): "added" | "repeated" | "gap" {
    const revision = Number(event.revision);
    if (this.#events.length > 0 && revision <= this.last) return "repeated";
    const isNext = this.#events.length === 0 || revision === this.last + 1;
    if (!isNext) this.#events = [];
    if (this.#events.length === 0) this.#first = revision;
    this.#events.push(event);
    if (this.#events.length > windowEventsMax) {
      this.#events.shift();
      this.#first += 1;
    }
    return isNext ? "added" : "gap";
  }

  /** Forgets everything: the history of the key begins anew. */
  clear(): void {
    this.#events = [];
    this.#first = 1;
  }

  /** Events after a revision, or undefined when some of them are not kept. */
  after(revision: number): readonly ControlEvent[] | undefined {
    if (this.#events.length === 0) return undefined;
    if (revision > this.last || revision < this.#first - 1) return undefined;
    return this.#events.slice(revision - this.#first + 1);
  }
}
