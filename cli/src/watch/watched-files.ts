import { type FSWatcher, statSync, watch } from "node:fs";
import { basename, dirname, relative, sep } from "node:path";
import { fileSignature } from "./file-signature.ts";

/** Largest number of files watched; any beyond that are ignored. */
const watchedFilesMax = 5_000;

export interface WatchedFilesOptions {
  /** Called with the files that changed, sorted, once there was no change for `quietMs`. */
  readonly onChange: (paths: readonly string[]) => void;
  /** Called when something cannot be watched. */
  readonly onProblem?: (problem: string) => void;
  /** Changes that come within this many milliseconds are reported together. @default 100 */
  readonly quietMs?: number;
  /** Longest wait while changes keep coming, milliseconds. @default 1000 */
  readonly quietMsMax?: number;
}

/** A folder that is watched, for the names in it that matter. */
interface WatchedFolder {
  readonly watcher: FSWatcher;
  readonly inode: bigint;
  names: ReadonlySet<string>;
}

/**
 * Reports which of a set of files change, appear or vanish. It watches the folders, not the files, so it sees every
 * save by rename; it waits for a folder that does not exist yet. A file's signature decides whether it changed; other
 * files in the same folder cost only a comparison of names.
 *
 * On network file systems without change notices it sees nothing.
 */
export class WatchedFiles {
  readonly #options: Required<WatchedFilesOptions>;
  readonly #signatures = new Map<string, string>();
  readonly #folders = new Map<string, WatchedFolder>();
  #quiet: NodeJS.Timeout | undefined;
  #latest: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: WatchedFilesOptions) {
    this.#options = { onProblem: () => {}, quietMs: 100, quietMsMax: 1_000, ...options };
  }

  get size(): number {
    return this.#signatures.size;
  }

  /** Adds these files, and takes all as they are now: earlier changes are no longer reported. */
  refresh(paths: readonly string[]): void {
    this.#forget();
    for (const path of [...this.#signatures.keys(), ...paths]) this.#sign(path);
    if (this.#arm()) this.#soon();
  }

  /** Watches no other files than these. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#signatures.keys()) {
      if (!paths.has(path)) this.#signatures.delete(path);
    }
    this.#arm();
  }

  /** Watches a file from the signature it had when it was read; a change since then is reported. */
  add(path: string, signature: string): void {
    const isKnown = this.#signatures.has(path);
    if (!this.#sign(path, signature)) return;
    if (!isKnown) this.#arm();
    if (fileSignature(path) !== signature) this.#soon();
  }

  close(): void {
    this.#isClosed = true;
    this.#forget();
    for (const { watcher } of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  #sign(path: string, signature = fileSignature(path)): boolean {
    if (!this.#signatures.has(path) && this.#signatures.size >= watchedFilesMax) {
      this.#options.onProblem(`${path} is not watched: there are ${watchedFilesMax} files already`);
      return false;
    }
    this.#signatures.set(path, signature);
    return true;
  }

  /** Schedules a look at the files: after `quietMs` without a change, at the latest after `quietMsMax`. */
  #soon(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#look(), this.#options.quietMs);
    this.#latest ??= setTimeout(() => this.#look(), this.#options.quietMsMax);
  }

  #forget(): void {
    clearTimeout(this.#quiet);
    clearTimeout(this.#latest);
    this.#latest = undefined;
  }

  #look(): void {
    this.#forget();
    // Another look finds what happened in a folder before its watcher was set up.
    if (this.#arm()) this.#soon();
    const changed = [...this.#signatures].filter(([path, known]) => fileSignature(path) !== known);
    for (const [path] of changed) this.#sign(path);
    if (changed.length > 0) this.#options.onChange(changed.map(([path]) => path).sort());
  }

  /** Watches the folders that matter now, and no others; true when one of them is new. */
  #arm(): boolean {
    if (this.#isClosed) return false;
    const wanted = new Map<string, Set<string>>();
    for (const path of this.#signatures.keys()) {
      const folder = nearestFolder(dirname(path));
      const names = wanted.get(folder) ?? new Set([basename(folder)]);
      wanted.set(folder, names.add(relative(folder, path).split(sep)[0]!));
    }
    for (const [folder, { watcher, inode }] of this.#folders) {
      if (wanted.has(folder) && inodeOf(folder) === inode) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    let isAnyNew = false;
    for (const [folder, names] of wanted) {
      const known = this.#folders.get(folder);
      if (known !== undefined) known.names = names;
      else if (this.#watchFolder(folder, names)) isAnyNew = true;
    }
    return isAnyNew;
  }

  #watchFolder(folder: string, names: ReadonlySet<string>): boolean {
    try {
      const inode = inodeOf(folder) ?? 0n;
      const watcher = watch(folder, (_event, name) => {
        const isNews = name === null || this.#folders.get(folder)?.names.has(name) === true;
        if (isNews) this.#soon();
      });
      // A folder that goes away may end its watcher with an error.
      watcher.on("error", () => this.#soon());
      this.#folders.set(folder, { watcher, inode, names });
      return true;
    } catch (failure) {
      const why = failure instanceof Error ? failure.message : String(failure);
      this.#options.onProblem(`${folder} cannot be watched: ${why}`);
      return false;
    }
  }
}

/** The folder, or the nearest one above it that is there. */
function nearestFolder(folder: string): string {
  const above = dirname(folder);
  const isThere = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  return isThere || above === folder ? folder : nearestFolder(above);
}

function inodeOf(folder: string): bigint | undefined {
  return statSync(folder, { bigint: true, throwIfNoEntry: false })?.ino;
}
