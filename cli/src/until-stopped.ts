import { ExitCode } from "./exit-codes.ts";

const signals = ["SIGINT", "SIGTERM"] as const;

/** Resolves on the first SIGINT or SIGTERM; a second one ends the process at once. */
export function untilStopped(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(ExitCode.interrupted);
      stopping = true;
      resolve(signal);
    };
    for (const signal of signals) process.on(signal, stop);
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
