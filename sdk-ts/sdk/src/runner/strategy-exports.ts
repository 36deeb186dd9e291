import { Strategy } from "../strategy/index.ts";
import type { StrategyClass } from "./strategy-module.ts";

/** What a module exports: strategies that can be run, and what only looks like one. */
export interface StrategyExports {
  /** Classes by export name. */
  readonly classes: ReadonlyMap<string, StrategyClass>;
  /** Why an export is no strategy that can be run, by export name, with the fix. */
  readonly nearMisses: ReadonlyMap<string, string>;
}

/** Sorts the exports of a module. */
export function strategyExports(module: object): StrategyExports {
  const classes = new Map<string, StrategyClass>();
  const nearMisses = new Map<string, string>();
  for (const [name, value] of Object.entries(module)) {
    const miss = isRunnable(value) ? undefined : nearMiss(name, value);
    if (isRunnable(value)) classes.set(name, value);
    else if (miss !== undefined) nearMisses.set(name, miss);
  }
  return { classes, nearMisses };
}

/** A class that extends Strategy and has a `setup`: at run time an abstract class is one without. */
function isRunnable(value: unknown): value is StrategyClass {
  return extendsStrategy(value) && typeof value.prototype.setup === "function";
}

function extendsStrategy(value: unknown): value is StrategyClass {
  return typeof value === "function" && value.prototype instanceof Strategy;
}

function nearMiss(name: string, value: unknown): string | undefined {
  if (value instanceof Strategy) {
    return `"${name}" is an instance of ${value.constructor.name}; export the class, a run makes its own instance`;
  }
  if (extendsStrategy(value)) return `"${name}" is abstract: give it a setup()`;
  return undefined;
}
