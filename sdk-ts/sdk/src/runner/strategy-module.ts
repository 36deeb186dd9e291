import { fileURLToPath } from "node:url";
import type { Strategy } from "../strategy/index.ts";

/**
 * A strategy an author wrote. `module` is `import.meta.url` of its file; it is needed for strategies with functions of
 * their own that are not loaded with `loadStrategy`.
 */
export type StrategyClass = (new () => Strategy) & { readonly module?: string };

const loadedFrom = new WeakMap<object, string>();

/** Remembers the file a class was loaded from. */
export function rememberModule(strategy: StrategyClass, path: string): void {
  loadedFrom.set(strategy, path);
}

/** Path of the file a strategy class is written in: as given, its `module`, or where it was loaded from. */
export function modulePathOf(
  owner: { readonly module?: unknown } & object,
  given: string | undefined,
): string | undefined {
  const declared = typeof owner.module === "string" ? owner.module : undefined;
  const module = given ?? declared ?? loadedFrom.get(owner);
  return module?.startsWith("file:") ? fileURLToPath(module) : module;
}
