import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";

/** Bit of a file's mode that lets everybody on the machine read it. */
const READABLE_BY_ALL = 0o004;

/** A file that holds a secret and can be read by everybody on the machine. */
export class ExposedFile extends Error {
  override readonly name = "ExposedFile";

  constructor(path: string) {
    super(`file ${path} can be read by everybody on this machine; run chmod 600 on it`);
  }
}

/** The path of a secret's file is a directory. */
export class FolderForFile extends Error {
  override readonly name = "FolderForFile";

  constructor(path: string) {
    super(`${path} is a directory, not a file`);
  }
}

/**
 * Reads a file that must not be readable by everybody. Windows has no such mode; there it is not checked.
 *
 * @throws {FolderForFile | ExposedFile} before anything is read; otherwise as `readFileSync`.
 */
export function readPrivateFile(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const stats = fstatSync(file);
    if (stats.isDirectory()) throw new FolderForFile(path);
    const isExposed = process.platform !== "win32" && (stats.mode & READABLE_BY_ALL) !== 0;
    if (isExposed) throw new ExposedFile(path);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
