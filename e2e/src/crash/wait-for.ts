const LOOK_MS = 50;

/** Retries through outages until there is an answer. Throws with the last failure after `timeoutMs` or on `signal`. */
export async function waitFor<T>(
  what: string | (() => string),
  look: () => Promise<T | undefined>,
  { timeoutMs = 150_000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (failure) {
      last = failure;
    }
    if (signal?.aborted || performance.now() > end)
      throw new Error(`not seen: ${typeof what === "string" ? what : what()}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
