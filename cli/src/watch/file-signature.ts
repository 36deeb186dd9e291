import { statSync } from "node:fs";

/** What tells one content of a file from another without reading it; the same text for every file that is not there. */
export function fileSignature(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "absent" : `${found.mtimeNs}:${found.size}:${found.ino}`;
}
