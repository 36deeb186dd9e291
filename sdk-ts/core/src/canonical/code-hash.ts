import { resolve } from "node:path";
import { blake3Hex } from "./blake3.ts";
import { CodeHashError } from "./code-hash/code-hash-error.ts";
import {
  type FunctionSite,
  functionSites,
  parseRuntimeFunction,
} from "./code-hash/function-site.ts";
import { reachedCode } from "./code-hash/reached-code.ts";
import type { SourceModule } from "./code-hash/source-module.ts";
import { SourceTree } from "./code-hash/source-tree.ts";
import { jcs } from "./jcs.ts";

/** Version of the recipe. Raising it changes every code hash, so every node id that has code. */
const recipe = "qmtl-code/1";

/** Any function an author may pass as compute. */
export type ComputeFunction = (...args: never[]) => unknown;

export interface CodeHash {
  /** `"blake3:"` + 64 hex digits. */
  readonly hash: string;
  /** What the hash covers besides the function: `helpers.ts#mean`, `npm:name@1.2.3`, `node:crypto`; sorted. */
  readonly reached: readonly string[];
}

export interface CodeHashOptions {
  /** Absolute path of the module's file as it is run: `.ts` under type stripping, `.js` after a build. */
  readonly modulePath: string;
  /** Reads a source file as text; throws when there is none. @default reads the disk */
  readonly readFile?: (path: string) => string;
}

/**
 * Opens a hasher for the compute functions of one module; it hashes what their source code means. Each file is read
 * once: later changes of it are not seen.
 *
 * The function is found by its text in the module, in a file the module imports by relative path, or else in a package
 * (other than our own) that these import. From there its free names are followed to constants, helpers and imports of
 * the same package, transitively, to the name and version of npm packages, to Node's own modules and to globals of the
 * language. The hash is the same for the `.ts` source, for `tsc` output and for `esbuild` output (not bundled, not
 * minified), and blind to comments, layout, types and the names of local variables. It differs as soon as the function,
 * anything of its package it reaches, or the version of an npm package it calls differs. Module code it does not reach
 * does not count. Not covered: constant expressions that a compiler folds (`1 < 2 ? a : b`, `null ?? a`), except sums
 * of strings.
 *
 * Cost: about 1 ms for each file reached.
 *
 * @throws {CodeHashError} when the hash would not cover what the function does; see its reasons.
 */
export function openCodeHasher(options: CodeHashOptions): (fn: ComputeFunction) => CodeHash {
  const tree = new SourceTree(options.readFile);
  const entry = tree.module(resolve(options.modulePath));
  return (fn) => {
    const wanted = parseRuntimeFunction(fn, entry.path);
    const own = ownModules(tree, [entry]);
    const sites = own.flatMap((module) => functionSites(module, wanted));
    if (sites.length > 0) return hashOfSites(tree, entry, fn, sites);
    // Packages are searched only if that found nothing: a package of nodes may be large.
    const bought = new Set(
      [...packageEntries(tree, own)].flatMap((one) => readableModules(tree, one)),
    );
    const found = [...bought].flatMap((module) => functionSites(module, wanted));
    return hashOfSites(tree, entry, fn, found);
  };
}

function hashOfSites(
  tree: SourceTree,
  entry: SourceModule,
  fn: ComputeFunction,
  sites: readonly FunctionSite[],
): CodeHash {
  const hashes = sites.map((site): CodeHash => {
    const { definitions, labels } = reachedCode(tree, site);
    return { hash: `blake3:${blake3Hex(jcs([recipe, definitions]))}`, reached: labels };
  });
  const [first] = hashes;
  if (first === undefined) {
    throw new CodeHashError(
      "FUNCTION_NOT_FOUND",
      entry.path,
      `"${fn.name}" is not written in this module, in a file it imports by relative path or in a package that these import; wrap it in a function of one of those`,
      fn.name,
    );
  }
  if (hashes.some((other) => other.hash !== first.hash)) {
    throw new CodeHashError(
      "AMBIGUOUS_FUNCTION",
      entry.path,
      `"${fn.name}" has the same text as another function that uses different code; make their texts differ`,
      fn.name,
    );
  }
  return first;
}

/** The entry modules and all that they reach by relative imports, nearest first. */
function ownModules(tree: SourceTree, entries: readonly SourceModule[]): SourceModule[] {
  const found = new Map(entries.map((entry) => [entry.path, entry]));
  for (const module of found.values()) {
    for (const specifier of specifiersOf(module)) {
      if (!specifier.startsWith(".") && !specifier.startsWith("/")) continue;
      const target = tree.findTarget(module, specifier);
      if (target?.kind === "file" && !found.has(target.path)) {
        found.set(target.path, tree.module(target.path));
      }
    }
  }
  return [...found.values()];
}

/** Entry files of the packages that modules import: where a package of nodes has its functions. */
function packageEntries(tree: SourceTree, modules: readonly SourceModule[]): Set<string> {
  const found = new Set<string>();
  for (const module of modules) {
    for (const specifier of specifiersOf(module)) {
      const path = tree.findPackageEntry(module, specifier);
      if (path !== undefined) found.add(path);
    }
  }
  return found;
}

/** The modules of a package; none if it cannot be read or is too large: the function may be in another package. */
function readableModules(tree: SourceTree, path: string): SourceModule[] {
  try {
    return ownModules(tree, [tree.module(path)]);
  } catch (error) {
    if (error instanceof CodeHashError) return [];
    throw error;
  }
}

function specifiersOf(module: SourceModule): Set<string> {
  const named = [...module.bindings.values(), ...module.exports.values()];
  const imports = named.flatMap((one) => (one.kind === "import" ? [one.from] : []));
  return new Set([...imports, ...module.starExports]);
}
