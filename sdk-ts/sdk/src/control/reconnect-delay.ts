/** Wait before the first new attempt, milliseconds. */
const firstDelayMs = 1_000;
/** Longest wait between two attempts, milliseconds. */
export const reconnectDelayMsMax = 8_000;

/** Wait before attempt `failures + 1`: 1 s, doubled each time, at most 8 s. */
export function reconnectDelayMs(failures: number): number {
  return Math.min(reconnectDelayMsMax, firstDelayMs * 2 ** Math.max(0, failures - 1));
}
