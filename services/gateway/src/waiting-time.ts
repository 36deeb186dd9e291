/** Part of the caller's time that is kept for the answer, milliseconds. */
const answerMs = 500;

/** How long a call may wait inside, milliseconds, so that its answer comes before the caller's deadline. */
export function waitingTime(timeoutMs = Number.POSITIVE_INFINITY): number {
  return Math.max(timeoutMs - answerMs, 0);
}
