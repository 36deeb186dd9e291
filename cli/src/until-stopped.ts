import { ExitCode } from "./exit-codes.ts";

const signals = ["SIGINT", "SIGTERM"] as const;
/** SIGHUP, which a closed terminal sends, asks for an end, too. */
const stopSignals = [...signals, "SIGHUP"] as const;
/** Signals within this time, ms, are one: a terminal signals the whole group, and the parent passes its own on. */
const sameSignalMs = 500;

/**
 * Calls `first` on the first SIGINT, SIGTERM or SIGHUP, and `again` on each that comes later.
 *
 * @returns function that removes the listeners
 */
export function onStopSignal(
  first: (signal: NodeJS.Signals) => void,
  again: () => void,
): () => void {
  let seen: "none" | "just now" | "before" = "none";
  const stop = (signal: NodeJS.Signals): void => {
    if (seen === "before") again();
    if (seen !== "none") return;
    seen = "just now";
    setTimeout(() => {
      seen = "before";
    }, sameSignalMs).unref();
    first(signal);
  };
  for (const signal of stopSignals) process.on(signal, stop);
  return () => {
    for (const signal of stopSignals) process.off(signal, stop);
  };
}

/** Resolves on the first SIGINT, SIGTERM or SIGHUP; a later one ends the process at once. */
export function untilStopped(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    onStopSignal(resolve, () => process.exit(ExitCode.interrupted));
  });
}

/**
 * Runs work during which SIGINT and SIGTERM end the process at once, with 130: for work that is safe against a kill and
 * has nothing to release yet. Not left to the system, which ignores these signals for the first process of a container.
 */
export async function endingAtOnce<T>(work: () => Promise<T>): Promise<T> {
  const end = (): void => process.exit(ExitCode.interrupted);
  for (const signal of signals) process.on(signal, end);
  try {
    return await work();
  } finally {
    for (const signal of signals) process.off(signal, end);
  }
}
