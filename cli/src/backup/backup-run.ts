import type { BackupProgress } from "@qmtl/embedded";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { type ProgressBar, progressBar } from "../progress-bar.ts";
import { backupRefusal } from "./backup-refusal.ts";

/** What a long step on a store is given. */
export interface BackupRun {
  /** Aborts on the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** Draws a bar on a terminal. */
  readonly onProgress: BackupProgress;
}

const labels = { backup: "backing up", check: "checking", restore: "restoring" } as const;

/** Runs a step that Ctrl-C breaks off, leaving nothing half done; failures come with what to do next. */
export async function withBackupRun<T>(work: (run: BackupRun) => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  const stop = (): void => {
    if (stopping.signal.aborted) process.exit(ExitCode.interrupted);
    const message = "broken off; nothing of it counts";
    stopping.abort(new CommandError(message, ExitCode.interrupted, "run it again"));
  };
  let step = "";
  let bar: ProgressBar | undefined;
  const onProgress: BackupProgress = (now, done, total) => {
    if (now !== step) bar?.end();
    if (now !== step) bar = progressBar(labels[now]);
    step = now;
    bar?.update(done, total);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await work({ signal: stopping.signal, onProgress });
  } catch (failure) {
    throw backupRefusal(failure);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
    bar?.end();
  }
}
