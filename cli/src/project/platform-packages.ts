import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { ProjectError } from "./project-error.ts";

/** Packages that a project depends on directly; they bring the rest. */
const needed = ["qmtl-cli", "@qmtl/sdk"];
const tarballsMax = 100;

/** Where the packages of the platform come from: entries for `dependencies`, by package name. */
export type PlatformPackages = Readonly<Record<string, string>>;

/** The published packages, in the version of this program. */
export function publishedPackages(): PlatformPackages {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? String(manifest.version)
      : "latest";
  return Object.fromEntries(needed.map((name) => [name, version]));
}

/**
 * The packages packed into a folder, as `npm pack` writes them. Names all of them, also those that the needed ones
 * depend on: npm must not look for any of them in a registry.
 *
 * @param project folder that their paths are relative to
 * @throws {ProjectError} `PACKAGES_INVALID`
 */
export function packedPackages(folder: string, project: string): PlatformPackages {
  if (!existsSync(folder)) throw invalid(`${folder} does not exist`);
  const files = readdirSync(folder).filter((file) => /^qmtl-.*\.tgz$/.test(file));
  if (files.length > tarballsMax)
    throw invalid(`${folder} holds more than ${tarballsMax} packages`);
  const packages: Record<string, string> = {};
  for (const file of files.sort()) {
    const path = join(folder, file);
    const manifest = readTarballManifest(path);
    if (manifest === undefined) throw invalid(`${path} is not a packed package`);
    if (packages[manifest.name] !== undefined)
      throw invalid(`${folder} holds ${manifest.name} more than once`);
    packages[manifest.name] =
      `file:${relative(resolve(project), resolve(path)).replaceAll("\\", "/")}`;
  }
  for (const name of needed)
    if (packages[name] === undefined) throw invalid(`${folder} holds no package ${name}`);
  return packages;
}

/** The folder the repository packs into, when this program runs from its sources and has been packed. */
export function repositoryPackages(): string | undefined {
  const isSource = import.meta.url.endsWith(".ts");
  const folder = fileURLToPath(new URL("../../../dist/packages", import.meta.url));
  const isPacked = isSource && existsSync(folder);
  return isPacked && readdirSync(folder).some((file) => file.endsWith(".tgz")) ? folder : undefined;
}

/** The folder of the tarballs this program was installed from, if it still exists: such packages are not published. */
export function installedPackages(
  program = new URL("../../", import.meta.url),
): string | undefined {
  const folder = fileURLToPath(program);
  const modules = dirname(folder);
  if (basename(modules) !== "node_modules") return undefined;
  const from = resolvedOf(join(modules, ".package-lock.json"), `node_modules/${basename(folder)}`);
  if (from === undefined || !/^file:.*\.tgz$/.test(from)) return undefined;
  const tarball = resolve(dirname(modules), from.slice("file:".length));
  return existsSync(tarball) ? dirname(tarball) : undefined;
}

/** Where npm took a package from, as its lock file says. */
function resolvedOf(lockFile: string, entry: string): string | undefined {
  try {
    const lock: unknown = JSON.parse(readFileSync(lockFile, "utf8"));
    const { packages } = lock as { packages?: Record<string, { resolved?: string } | undefined> };
    return packages?.[entry]?.resolved;
  } catch {
    return undefined; // another package manager, or none
  }
}

function invalid(message: string): ProjectError {
  const hint = "in the repository, `npm run pack` packs them into dist/packages";
  return new ProjectError("PACKAGES_INVALID", message, hint);
}

const blockBytes = 512;
/** Largest package that is read, unpacked, bytes. */
const unpackedBytesMax = 256 * 1024 * 1024;

/** Name and version of a packed package. */
interface PackedManifest {
  readonly name: string;
  readonly version: string;
}

/**
 * Reads `package/package.json` out of a tarball as `npm pack` makes it.
 *
 * @returns undefined when the file is no such tarball.
 */
function readTarballManifest(file: string): PackedManifest | undefined {
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
