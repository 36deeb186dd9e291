import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { BusEvent } from "./event-bus.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

/**
 * Calls `onEvent` with one event until it resolves or the signal aborts, with pauses of 100 ms that double up to 5 s.
 * Resolves to true when the event was accepted. `keepAlive` is called before each further attempt.
 */
export async function deliver(
  event: BusEvent,
  options: {
    onEvent: (event: BusEvent) => Promise<void>;
    signal: AbortSignal;
    clock: Clock;
    logger: Logger;
    keepAlive?: () => Promise<void>;
  },
): Promise<boolean> {
  const { signal, clock, logger } = options;
  for (let delayMs = RETRY_MS_MIN; !signal.aborted; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
    try {
      await options.onEvent(event);
      return true;
    } catch (error) {
      const { topic, key, position } = event;
      logger.warn("an event was not accepted; it will be delivered again", {
        topic,
        key,
        position,
        error,
      });
      await sleep(clock, delayMs, signal);
      await options.keepAlive?.();
    }
  }
  return false;
}
