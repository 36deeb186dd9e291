import { type Check, isHealthy } from "./check.ts";
import {
  askedVersion,
  type InstalledPackage,
  importedPackage,
  ownPackage,
  packageSeenFrom,
} from "./installed-package.ts";

/** Packages that must have the same version as the command, and an entry point of each. */
const siblings = {
  "@qmtl/contracts": "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb",
  "@qmtl/core": "@qmtl/core/canonical",
  "@qmtl/sdk": "@qmtl/sdk/config",
  "@qmtl/embedded": "@qmtl/embedded",
} as const;

const protobuf = "@bufbuild/protobuf";
const again = 'then run "npm install" again; "npm dedupe" leaves one copy of each';

/**
 * Checks that the packages of the installation fit together, and that a strategy in `folder` imports the same SDK as
 * the command: with two copies, neither recognises a strategy class of the other.
 *
 * @param version of the command. @default its own
 */
export function checkVersions(folder: string, version = ownPackage().version): Check {
  const name = "versions";
  const installed = Object.entries(siblings).map(([sibling, server]) =>
    importedPackage(sibling, server),
  );
  const others = installed.filter((each) => each.version !== version);
  if (others.length > 0) {
    const found = others.map(({ name: other, version: of }) => `${other} ${of}`).join(", ");
    const detail = `qmtl-cli ${version} runs with ${found}`;
    return { name, status: "error", detail, fix: `use one version for all of them, ${again}` };
  }
  const runtime = checkProtobuf([ownPackage(), ...installed]);
  if (!isHealthy([runtime])) return runtime;
  const own = installed.find((each) => each.name === "@qmtl/sdk");
  const met = packageSeenFrom(folder, "@qmtl/sdk");
  const detail = `qmtl-cli, SDK and services ${version}`;
  if (met === undefined) {
    const fix = "to run strategies here, install @qmtl/sdk in this folder";
    return {
      name,
      status: "warning",
      detail: `${detail}; no @qmtl/sdk is found from this folder`,
      fix,
    };
  }
  if (met.folder === own?.folder) return { name, status: "ok", detail };
  const copies = `two copies of @qmtl/sdk: ${placeOf(own)} runs strategies, those in ${folder} import ${placeOf(met)}`;
  const fix = `install qmtl-cli and @qmtl/sdk in the same folder, at one version, ${again}`;
  return { name, status: "error", detail: copies, fix };
}

/**
 * Checks that all packages use one copy of the protobuf runtime, of the version they ask for: two copies give errors
 * that name everything but the cause.
 */
export function checkProtobuf(packages: readonly InstalledPackage[]): Check {
  const name = "versions";
  const seen = packages.map((each) => packageSeenFrom(each.folder, protobuf));
  const copies = new Map(seen.flatMap((each) => (each === undefined ? [] : [[each.folder, each]])));
  const [only, ...more] = copies.values();
  if (more.length > 0) {
    const places = [...copies.values()].map(placeOf).join(", ");
    const detail = `${copies.size} copies of ${protobuf}: ${places}`;
    return { name, status: "error", detail, fix: `remove your own copy, ${again}` };
  }
  const asked = packages
    .map((each) => askedVersion(each, protobuf))
    .find((each) => each !== undefined && /^\d/.test(each));
  if (asked !== undefined && only !== undefined && asked !== only.version) {
    const detail = `${placeOf(only)} is ${protobuf} ${only.version}; ${asked} is needed`;
    return { name, status: "error", detail, fix: `depend on ${protobuf} ${asked}, ${again}` };
  }
  return { name, status: "ok", detail: `${protobuf} ${only?.version ?? "unknown"}` };
}

function placeOf(found: InstalledPackage | undefined): string {
  return found === undefined ? "none" : `${found.folder} (${found.version})`;
}
