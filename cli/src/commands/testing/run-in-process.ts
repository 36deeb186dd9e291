import { vi } from "vitest";
import { main } from "../../main.ts";

/** How a command ended, and what it printed. */
export interface CommandOutcome {
  readonly exitCode: number;
  /** Lines of standard output. */
  readonly out: readonly string[];
  /** Lines of standard error. */
  readonly err: readonly string[];
}

/** Runs a command in this process and captures its output. */
export async function runInProcess(...args: readonly string[]): Promise<CommandOutcome> {
  const out: string[] = [];
  const err: string[] = [];
  const lines = (value: unknown): string[] => String(value).split("\n");
  const log = vi.spyOn(console, "log").mockImplementation((text) => out.push(...lines(text)));
  const error = vi.spyOn(console, "error").mockImplementation((text) => err.push(...lines(text)));
  try {
    await main(["node", "qmtl", ...args]);
    return { exitCode: Number(process.exitCode ?? 0), out, err };
  } finally {
    process.exitCode = undefined;
    log.mockRestore();
    error.mockRestore();
  }
}
