import { sleep, systemClock } from "../clock.ts";

/**
 * Calls `condition` every 10 ms and resolves to its first truthy value; rejects after `timeoutMs`, which only guards
 * against hanging: less than the timeout of a test, far more than a slow machine takes.
 */
export async function waitUntil<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 25_000, what = "condition" }: { timeoutMs?: number; what?: string } = {},
): Promise<T> {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (systemClock.monotonicMs() > deadlineMs)
      throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(systemClock, 10);
  }
}
