import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { QmtlError } from "@qmtl/sdk/rpc";

/** Events kept for ListEvents over all topic keys; the oldest go first. */
const eventsMax = 65_536;
/** Events are dropped in steps, so that dropping costs little. */
const dropStep = 4_096;

/** Control events in the order in which this gateway read them off the bus, from the first one kept there. */
export class EventLog {
  #events: ControlEvent[] = [];
  /** Number of the first event kept. */
  #first = 0;

  add(event: ControlEvent): void {
    this.#events.push(event);
    if (this.#events.length < eventsMax + dropStep) return;
    this.#events = this.#events.slice(dropStep);
    this.#first += dropStep;
  }

  /** A page of one topic key, or of all when it is empty; the token is empty at the end. */
  page(
    topicKey: string,
    size: number,
    token: string,
  ): { events: ControlEvent[]; nextPageToken: string } {
    const from = token === "" ? this.#first : numberOf(token);
    const events: ControlEvent[] = [];
    let at = Math.max(from - this.#first, 0);
    for (; at < this.#events.length && events.length < size; at += 1) {
      const event = this.#events[at]!;
      if (topicKey === "" || event.topicKey === topicKey) events.push(event);
    }
    const rest = this.#events.slice(at);
    const isMore = rest.some((event) => topicKey === "" || event.topicKey === topicKey);
    return { events, nextPageToken: isMore ? String(this.#first + at) : "" };
  }
}

function numberOf(token: string): number {
  const value = Number(token);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  const fields = [{ field: "page_token", description: "is not one of an answer" }];
  throw new QmtlError("INVALID_FIELD", "the page token cannot be read", { fields });
}
