import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Check } from "./check.ts";

/** Packages that must be of one version with the command, and a door of each. */
const siblings = {
  "@qmtl/contracts": "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb",
  "@qmtl/sdk": "@qmtl/sdk",
  "@qmtl/embedded": "@qmtl/embedded",
} as const;

/**
 * The packages of one installation fit together, and a strategy in `folder` meets the same SDK as the command: with
 * two copies a strategy class of the one is a stranger to the other.
 */
export function checkVersions(version: string, folder: string): Check {
  const name = "versions";
  const installed = Object.entries(siblings).map(([sibling, door]) => ({
    sibling,
    ...installedPackage(sibling, door),
  }));
  const others = installed.filter((each) => each.version !== version);
  if (others.length > 0) {
    const found = others.map(({ sibling, version: other }) => `${sibling} ${other}`).join(", ");
    const detail = `qmtl-cli ${version} runs with ${found}`;
    return { name, status: "error", detail, fix: "install all packages at one version" };
  }
  const own = installed.find(({ sibling }) => sibling === "@qmtl/sdk")?.folder;
  const met = packageSeenFrom(folder, "@qmtl/sdk");
  const detail = `qmtl-cli, SDK and services ${version}`;
  if (met === undefined) {
    const fix = "to run strategies here, install @qmtl/sdk in this folder";
    return { name, status: "warning", detail: `${detail}; no @qmtl/sdk in reach of here`, fix };
  }
  if (met === own) return { name, status: "ok", detail };
  const fix = "install qmtl-cli and @qmtl/sdk in the same folder, at one version";
  const there = `strategies here import another SDK, ${met}`;
  return { name, status: "error", detail: `${detail}; ${there}`, fix };
}

/** Folder and version of a package the command imports. */
function installedPackage(name: string, door: string): { folder: string; version: string } {
  let folder = dirname(fileURLToPath(import.meta.resolve(door)));
  while (!isPackage(folder, name) && folder !== dirname(folder)) folder = dirname(folder);
  return { folder, version: versionIn(folder) };
}

function isPackage(folder: string, name: string): boolean {
  const file = join(folder, "package.json");
  return existsSync(file) && JSON.parse(readFileSync(file, "utf8")).name === name;
}

function versionIn(folder: string): string {
  const manifest: { version?: string } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  );
  return manifest.version ?? "unknown";
}

/** The package a file in `folder` would import by this name, links followed; undefined if there is none. */
function packageSeenFrom(folder: string, name: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const found = join(at, "node_modules", name);
    if (existsSync(found)) return realpathSync(found);
    if (at === dirname(at)) return undefined;
  }
}
