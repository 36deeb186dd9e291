const ignore = (): void => {};

/**
 * Runs work that Ctrl-C and SIGTERM stop by its signal, so that it can clean up; they kill nothing meanwhile. What is
 * done stays done: Ctrl-C in the moments that are left does not make the command end as if it were not.
 */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopper = new AbortController();
  const stop = (): void => stopper.abort();
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    const result = await work(stopper.signal);
    process.off("SIGINT", ignore).on("SIGINT", ignore);
    return result;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}
