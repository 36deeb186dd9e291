import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { isWithoutState } from "@qmtl/service-kit/control";
import type { AppliedRevision } from "./topic-book.ts";

/** Events of one topic key kept for subscribers that come back. */
const windowEventsMax = 4_096;

/** The newest events of one topic key in its newest store epoch: their revisions have no gap. */
export class TopicWindow {
  readonly key: string;
  #events: ControlEvent[] = [];
  #first = 1;
  #storeEpoch = 0;
  #withoutState: AppliedRevision | undefined;

  constructor(key: string) {
    this.key = key;
  }

  /** Revision of the newest event; 0 for none. */
  get last(): number {
    return this.#first + this.#events.length - 1;
  }

  /** Store epoch of the events; 0 for none. */
  get storeEpoch(): number {
    return this.#storeEpoch;
  }

  /** Place of the newest event that came without a state; undefined for none. */
  get withoutState(): AppliedRevision | undefined {
    return this.#withoutState;
  }

  /**
   * Adds the next event. Returns `added`, or `repeated` when it is there already or older. Returns `gap` when events
   * before it are missing or its store was restored (the window then starts over with it), or when it has no state (the
   * window then starts over after it).
   */
  add(event: ControlEvent): "added" | "repeated" | "gap" {
    const revision = Number(event.revision);
    const storeEpoch = Number(event.storeEpoch);
    if (storeEpoch < this.#storeEpoch) return "repeated";
    const isRestored = this.last > 0 && storeEpoch > this.#storeEpoch;
    this.#storeEpoch = storeEpoch;
    if (!isRestored && this.last > 0 && revision <= this.last) return "repeated";
    const isNext = !isRestored && (this.last === 0 || revision === this.last + 1);
    if (!isNext) this.#events = [];
    if (this.#events.length === 0) this.#first = revision;
    if (isWithoutState(event)) {
      // No subscriber can continue with it: one that comes back begins with the state.
      this.#events = [];
      this.#first = revision + 1;
      this.#withoutState = { storeEpoch, revision };
      return "gap";
    }
    this.#events.push(event);
    if (this.#events.length > windowEventsMax) {
      this.#events.shift();
      this.#first += 1;
    }
    return isNext ? "added" : "gap";
  }

  /** Events after a revision, or undefined when some of them are not kept, or are of another store epoch. */
  after(storeEpoch: number, revision: number): readonly ControlEvent[] | undefined {
    if (this.#events.length === 0 || storeEpoch !== this.#storeEpoch) return undefined;
    if (revision > this.last || revision < this.#first - 1) return undefined;
    return this.#events.slice(revision - this.#first + 1);
  }
}
