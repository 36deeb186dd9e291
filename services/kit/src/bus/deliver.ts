import { type Clock, sleep } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { BusEvent } from "./event-bus.ts";

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

/**
 * Hands one event over until `onEvent` resolves or the signal aborts. True when it was taken.
 * `keepAlive` is called before each further try.
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
