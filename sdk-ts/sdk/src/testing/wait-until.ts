/**
 * Resolves when the condition is true; rejects after the timeout.
 *
 * @param condition checked every 5 ms
 * @param what what the test waits for, named in the error
 * @param timeoutMs milliseconds. @default 25000
 */
export async function waitUntil(
  condition: () => boolean,
  what: string,
  timeoutMs = 25_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`timed out waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
