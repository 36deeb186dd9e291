import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { Strategy } from "../../strategy/index.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

const packageName = "@qmtl/sdk";

/**
 * Refuses a strategy whose class extends the `Strategy` of another copy of this package, which this copy cannot run.
 *
 * @param given a class, an instance of one, or anything else, which passes
 * @param file the file in which it is written, by which the other copy is found
 * @throws {StrategyRunError} `DEPENDENCY_CONFLICT` naming both copies, with what to do
 */
export function refuseOtherCopy(given: unknown, file: string | undefined): void {
  if (!isOfOtherCopy(given)) return;
  const own = packageAbove(import.meta.dirname);
  const seen = file === undefined ? undefined : packageSeenFrom(dirname(file));
  const other = seen === undefined || seen === own ? "one somewhere else" : withVersion(seen);
  const of = file === undefined ? "the strategy" : file;
  throw new StrategyRunError(
    "DEPENDENCY_CONFLICT",
    `two copies of ${packageName}: ${withVersion(own)} runs this, ${of} imports ${other}; "npm ls ${packageName}" shows them, "npm dedupe" or a fresh "npm install" in one folder leaves one`,
  );
}

function isOfOtherCopy(given: unknown): boolean {
  if (given instanceof Strategy) return false;
  const owner: unknown = typeof given === "object" && given !== null ? given.constructor : given;
  for (let at = owner; typeof at === "function"; at = Object.getPrototypeOf(at)) {
    if (at === Strategy) return false;
    // The name alone could be the author's own class; the static method `declare` shows that it is this package's.
    if (at.name === "Strategy" && typeof Reflect.get(at, "declare") === "function") return true;
  }
  return false;
}

/** The folder of the package that contains `start`, with links resolved. */
function packageAbove(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, "package.json")) && folder !== dirname(folder))
    folder = dirname(folder);
  return realpathSync(folder);
}

/** The copy that a file in a folder would import; undefined if there is none. */
function packageSeenFrom(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const found = join(at, "node_modules", packageName);
    if (existsSync(found)) return realpathSync(found);
    if (at === dirname(at)) return undefined;
  }
}

function withVersion(folder: string): string {
  try {
    const manifest: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const version: unknown = Reflect.get(Object(manifest), "version");
    return typeof version === "string" ? `${folder} (${version})` : folder;
  } catch {
    return folder;
  }
}
