import { statSync } from "node:fs";

/** A text that changes when a file changes, made without reading the file; `absent` for one that does not exist. */
export function fileSignature(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "absent" : `${found.mtimeNs}:${found.size}:${found.ino}`;
}
