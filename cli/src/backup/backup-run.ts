import type { BackupProgress } from "@qmtl/embedded";
import { CommandError, ExitCode, RefusalError, reasonOf } from "../exit-codes.ts";
import { type ProgressBar, progressBar } from "../progress-bar.ts";

/** Signal and progress callback of a long step on a store. */
export interface BackupRun {
  /** Aborts on the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** Draws a bar on a terminal. */
  readonly onProgress: BackupProgress;
}

const labels = { backup: "backing up", check: "checking", restore: "restoring" } as const;

/** Runs a step that Ctrl-C interrupts, leaving nothing half done; failures come with what to do next. */
export async function withBackupRun<T>(work: (run: BackupRun) => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  const stop = (): void => {
    if (stopping.signal.aborted) process.exit(ExitCode.interrupted);
    const message = "interrupted; what was done so far does not count";
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

/** Exit code of each refusal of a backup or restore, by reason, and what to do next. */
const answers: Readonly<Record<string, { exitCode: ExitCode; hint: string }>> = {
  DATA_FOLDER_LOCKED: {
    exitCode: ExitCode.refused,
    hint: "embedded storage can be backed up or restored only while nothing uses it: stop `qmtl up` first",
  },
  STORE_EMPTY: {
    exitCode: ExitCode.refused,
    hint: "`qmtl config explain storage` shows which storage is used",
  },
  STORE_UNFINISHED: {
    exitCode: ExitCode.refused,
    hint: "run `qmtl restore FILE` again; it starts over",
  },
  STORE_NOT_EMPTY: {
    exitCode: ExitCode.refused,
    hint: "embedded: --force moves the folder aside and keeps it; PostgreSQL: name an empty database in storage.dsn",
  },
  STORE_IN_USE: {
    exitCode: ExitCode.refused,
    hint: "stop every service first, then run it again",
  },
  FILE_EXISTS: { exitCode: ExitCode.usage, hint: "name another file, or replace it with --force" },
  FILE_UNUSABLE: {
    exitCode: ExitCode.usage,
    hint: "check that the file and its folder exist and can be read and written",
  },
  BACKUP_DAMAGED: {
    exitCode: ExitCode.usage,
    hint: "nothing was changed; if `qmtl backup --out` wrote this file, use an older backup, and find out what damaged this one",
  },
  BACKUP_UNSUPPORTED: {
    exitCode: ExitCode.usage,
    hint: "nothing was changed; use the version of qmtl that made it, or a newer one",
  },
  BACKUP_INCONSISTENT: {
    exitCode: ExitCode.usage,
    hint: "the file is as it was written, but the store was already damaged: use an older backup",
  },
  MIGRATION_REFUSED: {
    exitCode: ExitCode.refused,
    hint: "a version of qmtl that this one does not know has used this database; name an empty one",
  },
  DB_UNAVAILABLE: {
    exitCode: ExitCode.unreachable,
    hint: "check that the database can be reached: `qmtl doctor` tries it; `qmtl restore FILE --force` replaces a damaged data folder",
  },
};

/** The failure with its exit code and what to do next; any other failure as it is. */
function backupRefusal(failure: unknown): unknown {
  const reason = reasonOf(failure);
  const answer = reason === undefined ? undefined : answers[reason];
  if (reason === undefined || answer === undefined || !(failure instanceof Error)) return failure;
  return new RefusalError(failure.message, answer.exitCode, answer.hint, reason);
}
