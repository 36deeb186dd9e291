import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Strategy } from "../../strategy/index.ts";
import { refuseOtherCopy } from "./sdk-copies.ts";
import { rememberModule, type StrategyClass } from "./strategy-module.ts";
import { placeIn, StrategyRunError } from "./strategy-run-error.ts";

/**
 * Imports a strategy file and returns the strategy class that it exports. The file may have any other exports, abstract
 * base classes among them.
 *
 * @param path file, relative to the working directory; `.ts` runs as it is
 * @param exportName name of the export, which may be `default`. @default the only strategy class
 * @throws {StrategyRunError} `STRATEGY_IMPORT_FAILED` if the file does not exist, does not parse or throws;
 * `STRATEGY_NOT_EXPORTED` if it exports no strategy class, or none of that name; `STRATEGY_AMBIGUOUS` if it exports
 * several and no name is given; `DEPENDENCY_CONFLICT` if one extends the `Strategy` of another copy of this package.
 */
export async function loadStrategy(path: string, exportName?: string): Promise<StrategyClass> {
  const file = resolve(path);
  const module = await importFile(path, file);
  for (const value of Object.values(module)) refuseOtherCopy(value, file);
  const found = strategyExports(module);
  const strategy = exportName === undefined ? onlyOne(path, found) : named(path, found, exportName);
  rememberModule(strategy, file);
  return strategy;
}

function named(path: string, { classes, nearMisses }: StrategyExports, name: string) {
  const strategy = classes.get(name);
  if (strategy !== undefined) return strategy;
  const names = [...classes.keys()].join(", ");
  const miss = nearMisses.get(name) ?? (names === "" ? "it exports none" : `it exports ${names}`);
  throw new StrategyRunError(
    "STRATEGY_NOT_EXPORTED",
    `${path} exports no strategy class "${name}"; ${miss}`,
  );
}

function onlyOne(path: string, { classes, nearMisses }: StrategyExports) {
  const [only, ...others] = new Set(classes.values());
  if (only === undefined) {
    const misses = [...nearMisses.values()];
    const why = misses.length > 0 ? misses.join("; ") : 'write "export class … extends Strategy"';
    const message = `${path} exports no class that extends Strategy; ${why}`;
    throw new StrategyRunError("STRATEGY_NOT_EXPORTED", message);
  }
  if (others.length === 0) return only;
  const names = [...classes.keys()].join(", ");
  const message = `${path} exports several strategies: ${names}; say which with --export NAME, or loadStrategy(file, name)`;
  throw new StrategyRunError("STRATEGY_AMBIGUOUS", message);
}

async function importFile(path: string, file: string): Promise<object> {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) throw refused(`no file exists at ${path}`);
  if (!stat.isFile()) throw refused(`${path} is not a file; name the strategy's .ts file`);
  try {
    return await import(pathToFileURL(file).href);
  } catch (cause) {
    const place = placeIn(file, cause);
    const where = place === basename(file) ? "" : ` (${place})`;
    const message = `importing ${path} failed: ${problemOf(cause)}${fixOf(cause)}${where}`;
    throw refused(message, { cause });
  }
}

/** What to write instead, if the failure is due to the kind of file and not to its code. */
function fixOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  const code = "code" in cause ? cause.code : undefined;
  if (code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") {
    return "; types are only removed, not compiled: use no enum, no namespace and no parameter property";
  }
  const isScript = /^(Cannot use import statement outside a module|Unexpected token 'export')/;
  if (code === "ERR_REQUIRE_ASYNC_MODULE" || isScript.test(cause.message)) {
    return '; a strategy is an ES module: use import and export, with "type": "module" in package.json';
  }
  return "";
}

/** First line of the error's message, preceded by the error's name unless that is just "Error". */
function problemOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const [first = ""] = cause.message.trim().split("\n");
  return cause.name === "Error" ? first : `${cause.name}: ${first}`;
}

function refused(message: string, options?: ErrorOptions): StrategyRunError {
  return new StrategyRunError("STRATEGY_IMPORT_FAILED", message, options);
}

/** Exports of a module: strategies that can be run, and exports that only look like one. */
interface StrategyExports {
  /** Classes by export name. */
  readonly classes: ReadonlyMap<string, StrategyClass>;
  /** Why an export is not a strategy that can be run, by export name, with the fix. */
  readonly nearMisses: ReadonlyMap<string, string>;
}

/** Sorts the exports of a module. */
function strategyExports(module: object): StrategyExports {
  const classes = new Map<string, StrategyClass>();
  const nearMisses = new Map<string, string>();
  for (const [name, value] of Object.entries(module)) {
    const miss = isRunnable(value) ? undefined : nearMiss(name, value);
    if (isRunnable(value)) classes.set(name, value);
    else if (miss !== undefined) nearMisses.set(name, miss);
  }
  return { classes, nearMisses };
}

/** True for a class that extends Strategy and has a `setup`; at run time, a class without one counts as abstract. */
function isRunnable(value: unknown): value is StrategyClass {
  return extendsStrategy(value) && typeof value.prototype.setup === "function";
}

function extendsStrategy(value: unknown): value is StrategyClass {
  return typeof value === "function" && value.prototype instanceof Strategy;
}

function nearMiss(name: string, value: unknown): string | undefined {
  if (value instanceof Strategy) {
    return `"${name}" is an instance of ${value.constructor.name}; export the class, because a run makes its own instance`;
  }
  if (extendsStrategy(value)) return `"${name}" is abstract: give it a setup()`;
  return undefined;
}
