import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ProjectError } from "./project-error.ts";
import type { ScaffoldFile } from "./read-template.ts";

/** Most conflicting paths that a message names. */
const conflictsShownMax = 5;

export interface Placement {
  /** Folder of the project. */
  readonly target: string;
  readonly files: readonly ScaffoldFile[];
  /** Whether to refuse or replace when one of `files` exists already. */
  readonly existing: "refuse" | "replace";
  /** Makes further files in the folder, after all others. Such a file never replaces one that the project has. */
  readonly prepare?: (folder: string) => void;
  /** Stops the placement as long as nothing has been placed. */
  readonly signal?: AbortSignal;
  /** Called before each change to the disk; what it throws stops the placement there. @default nothing */
  readonly onStep?: () => void;
}

/**
 * Puts all files into a folder, or none.
 *
 * All is first written into a temporary folder, beside a new target or inside one that exists, then moved. A new folder
 * appears with one rename, so that even a killed process leaves none or all of it. In a folder that exists the files
 * are moved one by one; when a move fails, those before it are taken back. (If the process is killed in between, the
 * replaced files are in `.qmtl-new-*`.)
 *
 * @throws {ProjectError} `PATH_TAKEN`, `INTERRUPTED`; what `prepare`, `onStep` or the file system throw. The target is
 * then as it was.
 */
export async function placeFiles(placement: Placement): Promise<void> {
  const target = resolve(placement.target);
  const isThere = existsSync(target);
  if (isThere && !statSync(target).isDirectory()) throw taken(`${target} is not a folder`);
  if (isThere) refuseConflicts(target, placement);
  const parent = isThere ? target : dirname(target);
  const made = mkdirSync(parent, { recursive: true });
  const beside = isThere ? ".qmtl-new-" : `.${basename(target)}.qmtl-new-`;
  const temporary = mkdtempSync(join(parent, beside));
  const replaced = join(temporary, "replaced");
  try {
    const folder = join(temporary, "project");
    writeAll(folder, placement);
    await new Promise(setImmediate); // handles a signal that came meanwhile
    if (placement.signal?.aborted)
      throw new ProjectError("INTERRUPTED", "stopped; nothing was written");
    if (isThere) moveAll(folder, target, replaced, placement);
    else {
      placement.onStep?.();
      // Another process may have made it meanwhile: what is in it stays, and is never mixed with ours.
      if (existsSync(target)) throw taken(`${target} has appeared in the meantime`);
      renameSync(folder, target);
    }
  } catch (failure) {
    // Files that could not be put back must not be deleted with the rest.
    const isAllBack = !existsSync(replaced) || filesIn(replaced).length === 0;
    if (isAllBack) rmSync(temporary, { recursive: true, force: true });
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    throw failure;
  }
  rmSync(temporary, { recursive: true, force: true });
}

function refuseConflicts(target: string, { files, existing }: Placement): void {
  const folders = new Set(files.flatMap(({ path }) => foldersOf(path)));
  const inTheWay = [
    ...[...folders].filter((path) => ["file", "other"].includes(whatIsAt(join(target, path)))),
    ...files
      .map((file) => file.path)
      .filter((path) => {
        const found = whatIsAt(join(target, path));
        return found !== "nothing" && !(existing === "replace" && found === "file");
      }),
  ];
  if (inTheWay.length === 0) return;
  const more = inTheWay.length - conflictsShownMax;
  const shown = inTheWay.slice(0, conflictsShownMax).join(", ");
  throw taken(`in the way in ${target}: ${shown}${more > 0 ? ` and ${more} more` : ""}`);
}

/** What is at a path; `nothing` also where a file is in place of one of its folders. */
function whatIsAt(path: string): "nothing" | "file" | "folder" | "other" {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return "nothing";
    return found.isFile() ? "file" : found.isDirectory() ? "folder" : "other";
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOTDIR") return "nothing";
    throw error;
  }
}

function foldersOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, k) => parts.slice(0, k + 1).join("/"));
}

function writeAll(folder: string, { files, prepare, onStep }: Placement): void {
  for (const { path, text } of files) {
    onStep?.();
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  onStep?.();
  prepare?.(folder);
}

function moveAll(from: string, target: string, replaced: string, placement: Placement): void {
  const wanted = new Set(placement.files.map((file) => file.path));
  const undo: (() => void)[] = [];
  try {
    for (const path of filesIn(from)) {
      const file = join(target, path);
      if (!wanted.has(path) && existsSync(file)) continue;
      placement.onStep?.();
      const made = mkdirSync(dirname(file), { recursive: true });
      if (made !== undefined) undo.push(() => rmSync(made, { recursive: true, force: true }));
      if (existsSync(file)) {
        const kept = join(replaced, path);
        mkdirSync(dirname(kept), { recursive: true });
        renameSync(file, kept);
        undo.push(() => renameSync(kept, file));
      }
      renameSync(join(from, path), file);
      undo.push(() => rmSync(file));
    }
  } catch (failure) {
    for (const back of undo.reverse()) back();
    throw failure;
  }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .map((path) => path.replaceAll("\\", "/"))
    .sort();
}

function taken(message: string): ProjectError {
  return new ProjectError("PATH_TAKEN", message, "nothing was touched");
}
