/** Part of a call's timeout that is reserved for sending the answer, in milliseconds. */
const answerMs = 500;

/**
 * How long a handler may wait, in milliseconds, so that its answer arrives before the caller's deadline. Without a
 * timeout, for ever.
 */
export function waitingTime(timeoutMs = Number.POSITIVE_INFINITY): number {
  return Math.max(timeoutMs - answerMs, 0);
}
