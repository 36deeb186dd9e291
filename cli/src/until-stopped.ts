import { ExitCode } from "./exit-codes.ts";

const signals = ["SIGINT", "SIGTERM"] as const;
/** A terminal that was closed asks for an end, too. */
const stopSignals = [...signals, "SIGHUP"] as const;
/** Signals this close together are one: a terminal tells the whole group, and whoever started the program passes it on. */
const sameSignalMs = 500;

/**
 * Calls `first` on the first SIGINT, SIGTERM or SIGHUP, and `again` on each that comes later.
 *
 * @returns takes the listeners off
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
 * Work that SIGINT and SIGTERM break off by ending the process at once, with 130: for what is safe against a kill and
 * has nothing to give back yet. Not left to the system, which spares the first process of a container.
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
