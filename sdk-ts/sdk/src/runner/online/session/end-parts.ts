import { pause, type SdkClock } from "../../../control/index.ts";

/** Longest wait for the answers to what a run gives back at its end while the platform is away, milliseconds. */
const awayWaitMs = 4_000;
/** Longest time that the steps of an end are waited for, milliseconds: a drain of the queues takes up to 30 s. */
const endMsMax = 60_000;
/** How often a run that ends looks whether the platform is away, milliseconds. */
const awayLookMs = 200;

/**
 * Ends parts one after the other, in this order; a step that fails does not prevent the others. Once the platform is away
 * and 4 s have passed, or after 60 s in any case, no step is waited for any more.
 *
 * @throws the first failure, after the last step
 */
export async function endAll(
  clock: SdkClock,
  isAway: () => boolean,
  steps: readonly (() => unknown)[],
): Promise<void> {
  const failures: unknown[] = [];
  const ended = new AbortController();
  const away = untilAway(clock, isAway, ended.signal);
  for (const step of steps) {
    try {
      await Promise.race([step(), away]);
    } catch (failure) {
      failures.push(failure);
    }
  }
  ended.abort();
  if (failures.length > 0) throw failures[0];
}

/** Resolves once the platform is away and has been asked for long enough to take back what the run holds, or too long. */
async function untilAway(
  clock: SdkClock,
  isAway: () => boolean,
  ended: AbortSignal,
): Promise<void> {
  for (let waitedMs = 0; !ended.aborted; waitedMs += awayLookMs) {
    if (waitedMs >= endMsMax || (waitedMs >= awayWaitMs && isAway())) return;
    await pause(clock, awayLookMs, ended);
  }
}
