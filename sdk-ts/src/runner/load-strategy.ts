import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Strategy } from "../strategy/index.ts";
import { rememberModule, type StrategyClass } from "./strategy-module.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

/**
 * Imports a strategy file and gives the strategy class it exports.
 *
 * @param path file, relative to the working directory; `.ts` runs as it is
 * @param exportName which export, `default` included. @default the only one
 * @throws {StrategyRunError} when the file throws, exports none, or several and no name is given.
 */
export async function loadStrategy(path: string, exportName?: string): Promise<StrategyClass> {
  const file = resolve(path);
  const found = strategiesIn(await importFile(file));
  const names = [...found.keys()];
  const listed = names.length === 0 ? "it exports none" : `it exports ${names.join(", ")}`;
  if (exportName !== undefined) {
    const named = found.get(exportName);
    if (named !== undefined) return remembered(named, file);
    const message = `${path} exports no strategy class "${exportName}"; ${listed}`;
    throw new StrategyRunError("STRATEGY_NOT_EXPORTED", message);
  }
  const distinct = new Set(found.values());
  const [only] = distinct;
  if (only === undefined) {
    const message = `${path} exports no class that extends Strategy; write "export class … extends Strategy"`;
    throw new StrategyRunError("STRATEGY_NOT_EXPORTED", message);
  }
  if (distinct.size > 1) {
    const message = `${path} exports ${distinct.size} strategies; name one of ${names.join(", ")}`;
    throw new StrategyRunError("STRATEGY_AMBIGUOUS", message);
  }
  return remembered(only, file);
}

async function importFile(file: string): Promise<object> {
  try {
    return await import(pathToFileURL(file).href);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    const message = `importing ${file} failed: ${problem}`;
    throw new StrategyRunError("STRATEGY_IMPORT_FAILED", message, { cause });
  }
}

function strategiesIn(module: object): Map<string, StrategyClass> {
  const found = new Map<string, StrategyClass>();
  for (const [name, value] of Object.entries(module)) {
    if (isStrategyClass(value)) found.set(name, value);
  }
  return found;
}

function isStrategyClass(value: unknown): value is StrategyClass {
  return typeof value === "function" && value.prototype instanceof Strategy;
}

function remembered(strategy: StrategyClass, file: string): StrategyClass {
  rememberModule(strategy, file);
  return strategy;
}
