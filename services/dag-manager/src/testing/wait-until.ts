import { sleep, systemClock } from "@qmtl/service-kit";

/** Waits until a condition holds, at most 25 s. */
export async function waitUntil(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = systemClock.monotonicMs() + 25_000;
  while (!(await holds())) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`never: ${what}`);
    await sleep(systemClock, 5);
  }
}
