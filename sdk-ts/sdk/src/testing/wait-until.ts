/** Resolves when the condition holds; rejects after `timeoutMs`, naming what was waited for. */
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
