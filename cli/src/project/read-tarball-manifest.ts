import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const blockBytes = 512;
/** Largest unpacked package that is looked into. */
const unpackedBytesMax = 256 * 1024 * 1024;

/** Name and version of a packed package. */
export interface PackedManifest {
  readonly name: string;
  readonly version: string;
}

/**
 * Reads `package/package.json` out of a tarball as `npm pack` makes it.
 *
 * @returns undefined when the file is no such tarball.
 */
export function readTarballManifest(file: string): PackedManifest | undefined {
  let tar: Buffer;
  try {
    tar = gunzipSync(readFileSync(file), { maxOutputLength: unpackedBytesMax });
  } catch {
    return undefined;
  }
  for (let at = 0; at + blockBytes <= tar.length; ) {
    const name = textAt(tar, at, 100);
    const size = Number.parseInt(textAt(tar, at + 124, 12), 8);
    if (name === "" || Number.isNaN(size)) return undefined;
    const start = at + blockBytes;
    if (name === "package/package.json")
      return manifestOf(tar.toString("utf8", start, start + size));
    at = start + Math.ceil(size / blockBytes) * blockBytes;
  }
  return undefined;
}

function textAt(bytes: Buffer, start: number, length: number): string {
  return bytes
    .toString("latin1", start, start + length)
    .replace(/\0.*$/s, "")
    .trim();
}

function manifestOf(text: string): PackedManifest | undefined {
  const manifest: unknown = JSON.parse(text);
  if (typeof manifest !== "object" || manifest === null) return undefined;
  if (!("name" in manifest) || !("version" in manifest)) return undefined;
  const { name, version } = manifest;
  return typeof name === "string" && typeof version === "string" ? { name, version } : undefined;
}
