import { setTimeout as sleep } from "node:timers/promises";

/**
 * Wall-clock time, milliseconds since the epoch. The transport turns timeouts into gRPC's absolute deadlines with it.
 */
export const wallClockMs = (): number => Date.now();

/** Time that corrections of the wall clock do not affect, milliseconds. */
export const monotonicMs = (): number => performance.now();

/** Resolves after `delayMs`, or when the signal aborts. */
export async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => {});
}
