import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../logger.ts";
import { deliver } from "./deliver.ts";
import type { SubscribeOptions } from "./event-bus.ts";
import type { EventSource, WatchedRange } from "./event-source.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 1_000;

export interface FollowOptions extends Omit<SubscribeOptions, "groupId"> {
  /** Where an earlier reader of the group stopped. */
  readonly cursor: string | undefined;
  /** Called once, at the first answer: nothing is missed from then on. */
  readonly onLive: () => void;
  /** Called with each place from which reading may go on. */
  readonly onCursor: (cursor: string) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Delivers the events of a source until the signal aborts. A source that breaks off is watched again from the last
 * cursor; one whose events are gone, from the oldest it keeps: receivers tell by the revision what they missed.
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
  while (!signal.aborted) {
    try {
      for await (const { events, cursor } of source.watch(range, signal)) {
        if (failures > 0) logger.info(`events of ${source.name} come again`, { failures });
        failures = 0;
        retryMs = RETRY_MS_MIN;
        for (const event of events) if (!(await deliver(event, options))) return;
        range = { ...range, cursor };
        await options.onCursor(cursor);
        options.onLive();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (hasReason(error, "TRIMMED", "INVALID_FIELD") && range.cursor !== undefined) {
        logger.warn(`events of ${source.name} are gone; from the oldest it keeps`, { error });
        range = { ...range, cursor: undefined, fromBeginning: true };
      } else if (failures === 0) {
        logger.warn(`events of ${source.name} do not come; trying again`, { error });
      }
      failures += 1;
    }
    await sleep(clock, retryMs, signal);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }
}
