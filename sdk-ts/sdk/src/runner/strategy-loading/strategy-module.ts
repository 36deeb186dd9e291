import { fileURLToPath } from "node:url";
import type { Strategy } from "../../strategy/index.ts";

/**
 * The class of a strategy. `module` is the `import.meta.url` of its file; a strategy with functions of its own needs it
 * unless it is loaded with `loadStrategy`.
 */
export type StrategyClass = (new () => Strategy) & { readonly module?: string };

const loadedFrom = new WeakMap<object, string>();

/** Remembers the file from which a class was loaded. */
export function rememberModule(strategy: StrategyClass, path: string): void {
  loadedFrom.set(strategy, path);
}

/**
 * Path of the file in which a strategy class is written: the given one, else its `module`, else the file from which it
 * was loaded; undefined if none is known.
 */
export function modulePathOf(
  owner: { readonly module?: unknown } & object,
  given: string | undefined,
): string | undefined {
  const declared = typeof owner.module === "string" ? owner.module : undefined;
  const module = given ?? declared ?? loadedFrom.get(owner);
  return module?.startsWith("file:") ? fileURLToPath(module) : module;
}
