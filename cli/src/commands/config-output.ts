import { existsSync, linkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CommandError, ExitCode } from "../exit-codes.ts";

/** Name under which `qmtl.yml` finds its JSON schema beside it. */
export const schemaFileName = "qmtl.schema.json";

/** First line that tells editors where the schema is; empty where there is none beside the file. */
export function schemaLine(folder: string): string {
  if (!existsSync(join(folder, schemaFileName))) return "";
  return `# yaml-language-server: $schema=./${schemaFileName}\n`;
}

/**
 * Writes a file that appears whole or not at all. Returns its path.
 *
 * @throws {CommandError} when there is one and `isForced` is not said, or it cannot be written; nothing is changed then
 */
export function writeOutput(path: string, text: string, isForced: boolean): string {
  const file = resolve(path);
  const draft = join(dirname(file), `.qmtl-config-${process.pid}.tmp`);
  try {
    writeFileSync(draft, text, { flag: "wx" });
    if (isForced) renameSync(draft, file);
    else linkSync(draft, file);
    return file;
  } catch (failure) {
    throw refused(file, failure);
  } finally {
    rmSync(draft, { force: true });
  }
}

function refused(file: string, failure: unknown): CommandError {
  const code = failure instanceof Error && "code" in failure ? failure.code : "";
  if (code === "EEXIST")
    return new CommandError(`${file} exists`, ExitCode.usage, "--force replaces it");
  if (code === "ENOENT" || code === "ENOTDIR") {
    const why = `${file} cannot be written: ${dirname(file)} is no folder`;
    return new CommandError(why, ExitCode.usage, "make the folder first, or name another file");
  }
  const message = failure instanceof Error ? failure.message : String(failure);
  return new CommandError(`${file} cannot be written: ${message}`, ExitCode.usage);
}
