import { sleep, systemClock } from "../clock.ts";

/**
 * Resolves once `condition` gives something true, asked again and again; rejects after `timeoutMs`, which only guards
 * against hanging: less than the time of a test, far more than a slow machine takes.
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
