const ignore = (): void => {};

/**
 * Runs work that Ctrl-C and SIGTERM stop through its signal, so that it can clean up; meanwhile they do not kill the
 * process. Once the work is done, a late Ctrl-C no longer changes how the command ends.
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
