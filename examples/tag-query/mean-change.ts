import type { Window } from "@qmtl/sdk";

/** Mean over the windows of the change from their oldest row to the newest; 0.01 = 1 %. NaN when one has no value. */
export function meanChange(windows: readonly Window[]): number {
  let sum = 0;
  for (const window of windows) sum += window.latest() / window.at(0) - 1;
  return sum / windows.length;
}
