import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, sleep } from "../clock.ts";
import type { LogFields, Logger } from "../logger.ts";
import { deliver } from "./deliver.ts";
import type { SubscribeOptions } from "./event-bus.ts";
import type { EventSource, WatchedRange } from "./event-source.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 1_000;

interface FollowOptions extends Omit<SubscribeOptions, "groupId"> {
  /** Where an earlier reader of the group stopped. */
  readonly cursor: string | undefined;
  /** Called once, at the first answer: nothing is missed from then on. */
  readonly onLive: () => void;
  /** Called with the cursor from which reading may continue, once the events before it are delivered. */
  readonly onCursor: (cursor: string) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Delivers the events of a source until the signal aborts. A source that breaks off is watched again from the last
 * cursor; one whose events are gone, from the oldest it keeps: receivers see by the revisions what they missed.
 */
export async function followSource(source: EventSource, options: FollowOptions): Promise<void> {
  const { signal, clock, logger } = options;
  let range: WatchedRange = {
    topics: options.topics,
    cursor: options.cursor,
    fromBeginning: options.fromBeginning,
  };
  let retryMs = RETRY_MS_MIN;
  let failures = 0;
  let isKnown = false;
  while (!signal.aborted) {
    try {
      for await (const { events, cursor } of source.watch(range, signal)) {
        if (failures > 0) logger.info(`events of ${source.name} arrive`, { failures });
        failures = 0;
        isKnown = true;
        retryMs = RETRY_MS_MIN;
        for (const event of events) if (!(await deliver(event, options))) return;
        range = { ...range, cursor };
        await options.onCursor(cursor);
        options.onLive();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (hasReason(error, "TRIMMED", "INVALID_FIELD") && range.cursor !== undefined) {
        const message = `events of ${source.name} are gone; continuing with the oldest it keeps`;
        logger.warn(message, causeOf(error));
        range = { ...range, cursor: undefined, fromBeginning: true };
      } else if (failures === 0) {
        const message = `events of ${source.name} do not arrive; trying again`;
        // The process that is started first waits for the others: no reason to warn.
        if (isKnown || !hasReason(error, "PEER_UNAVAILABLE")) logger.warn(message, causeOf(error));
        else logger.info(message, causeOf(error));
      }
      failures += 1;
    }
    await sleep(clock, retryMs, signal);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }
}

/** A refusal or an outage is logged in one line, anything else with its stack. */
function causeOf(error: unknown): LogFields {
  return error instanceof QmtlError ? { reason: error.reason, why: error.message } : { error };
}
