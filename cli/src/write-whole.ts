import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { CommandError, ExitCode } from "./exit-codes.ts";

/**
 * Writes a file named on the command line: it appears whole or not at all. A replaced file keeps its permissions, and a
 * link to it stays a link; what is not a regular file, such as `/dev/null`, is written in place. Returns its path.
 *
 * @param isForced replace one that is there
 * @throws {CommandError} usage, when the file exists and `isForced` is false, or it cannot be written; nothing is then
 * changed
 */
export function writeWhole(path: string, text: string, isForced: boolean): string {
  const file = resolve(path);
  try {
    const there = isForced ? statSync(file, { throwIfNoEntry: false }) : undefined;
    if (!isForced && existsSync(file))
      throw new CommandError(`${file} exists`, ExitCode.usage, "--force replaces it");
    if (there === undefined) place(file, text);
    else if (there.isFile()) place(realpathSync(file), text, there.mode);
    else writeFileSync(file, text);
    return file;
  } catch (failure) {
    throw refused(file, failure);
  }
}

function place(file: string, text: string, mode?: number): void {
  const draft = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    writeFileSync(draft, text, { flag: "wx", flush: true });
    if (mode !== undefined) chmodSync(draft, mode & 0o7777);
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
}

function refused(file: string, failure: unknown): CommandError {
  if (failure instanceof CommandError) return failure;
  const code = failure instanceof Error && "code" in failure ? failure.code : "";
  if (!existsSync(dirname(file)) || code === "ENOTDIR") {
    const why = `${file} cannot be written: ${dirname(file)} is no folder`;
    return new CommandError(why, ExitCode.usage, "make the folder first, or name another file");
  }
  const message = failure instanceof Error ? failure.message.replace(/,.*/, "") : String(failure);
  const why = `${file} cannot be written: ${message}`;
  return new CommandError(why, ExitCode.usage, "name another file, or change its permissions");
}
