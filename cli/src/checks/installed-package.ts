import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A package as it is installed on disk. */
export interface InstalledPackage {
  readonly name: string;
  /** Its folder, links followed. */
  readonly folder: string;
  /** `unknown` where it states none. */
  readonly version: string;
}

/** A package this command imports, found by one of its entry points. */
export function importedPackage(name: string, server: string): InstalledPackage {
  return packageAbove(name, dirname(fileURLToPath(import.meta.resolve(server))));
}

/** The package this very command is part of. */
export function ownPackage(): InstalledPackage {
  return packageAbove("qmtl-cli", import.meta.dirname);
}

/** The package a file in `folder` would import by this name; undefined if there is none. */
export function packageSeenFrom(folder: string, name: string): InstalledPackage | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const found = join(at, "node_modules", name);
    if (existsSync(found)) return packageIn(name, realpathSync(found));
    if (at === dirname(at)) return undefined;
  }
}

/** Version of another package that a package depends on, as its manifest states it; undefined when it does not. */
export function askedVersion(asking: InstalledPackage, name: string): string | undefined {
  return manifestIn(asking.folder).dependencies?.[name];
}

function packageAbove(name: string, start: string): InstalledPackage {
  let folder = start;
  while (manifestIn(folder).name !== name && folder !== dirname(folder)) folder = dirname(folder);
  return packageIn(name, folder);
}

function packageIn(name: string, folder: string): InstalledPackage {
  return { name, folder, version: manifestIn(folder).version ?? "unknown" };
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function manifestIn(folder: string): Manifest {
  const file = join(folder, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Manifest) : {};
}
