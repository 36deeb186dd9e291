/** How long to wait, and how often to look. */
export interface WaitOptions {
  /** Longest wait, milliseconds. */
  timeoutMs: number;
  /** Pause between looks, milliseconds. @default 20 */
  intervalMs?: number;
}

/** Looks until there is an answer; resolves to undefined when the time is up. */
export async function waitFor<T>(
  look: () => Promise<T | undefined>,
  options: WaitOptions,
): Promise<T | undefined> {
  const until = performance.now() + options.timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() >= until) return undefined;
    await new Promise((resolve) => setTimeout(resolve, options.intervalMs ?? 20));
  }
}
