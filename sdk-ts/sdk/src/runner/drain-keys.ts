import type { SdkClock } from "../control/index.ts";
import type { QueueReplica } from "./queue-replica.ts";

/** How often and how long a drain looks, milliseconds. */
const lookMs = 20;
const drainMsMax = 2_000;

/** Waits until keys that are given up have nothing under way any more, at most two seconds. */
export async function drainKeys(held: readonly QueueReplica[], clock: SdkClock): Promise<void> {
  const isOpen = (): boolean =>
    held.some((key) => key.phase !== "WAITING" && key.phase !== "DIVERGED");
  for (let waitedMs = 0; isOpen() && waitedMs < drainMsMax; waitedMs += lookMs) {
    await new Promise<void>((resolve) => {
      clock.setTimer(resolve, lookMs);
    });
    for (const key of held) key.tick();
  }
}
