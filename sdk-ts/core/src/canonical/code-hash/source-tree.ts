import { readFileSync, realpathSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, extname, join, resolve } from "node:path";
import { CodeHashError } from "./code-hash-error.ts";
import { type ModuleExport, parseSourceModule, type SourceModule } from "./source-module.ts";

/** Most source files one function may reach. */
const sourceFilesMax = 2_000;

/** Packages that authors' code uses, but that never contain it. */
const ownPackages: ReadonlySet<string> = new Set(["@qmtl/sdk", "@qmtl/core"]);

/** Where an import leads. */
export type ImportTarget =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "json"; readonly path: string }
  | { readonly kind: "node"; readonly name: string }
  | { readonly kind: "package"; readonly name: string; readonly version: string };

/** An export found: the module that declares it and what it is there. */
export interface FoundExport {
  readonly module: SourceModule;
  readonly found: Exclude<ModuleExport, { kind: "import" }>;
}

/** End of a chain of re-exports that leads out of the source files, or to a whole module. */
export interface ForeignExport {
  readonly target: ImportTarget;
  readonly imported: string;
  readonly specifier: string;
}

/** The source files around a strategy, each read and parsed once. */
export class SourceTree {
  readonly #readFile: (path: string) => string;
  readonly #realPath: (path: string) => string;
  readonly #modules = new Map<string, SourceModule>();
  readonly #texts = new Map<string, string | undefined>();

  /** @param readFile reads a source file as text; throws when there is none. @default reads the disk */
  constructor(readFile?: (path: string) => string) {
    this.#readFile = readFile ?? ((path) => readFileSync(path, "utf8"));
    // A linked package finds its dependencies from its real path, not from the path of the link.
    this.#realPath = readFile === undefined ? (path) => realpathSync(path) : (path) => path;
  }

  /** @throws {CodeHashError} `UNRESOLVED_IMPORT` when the file cannot be read, `PARSE_FAILED`. */
  module(path: string): SourceModule {
    const known = this.#modules.get(path);
    if (known !== undefined) return known;
    if (this.#modules.size >= sourceFilesMax) {
      throw new CodeHashError("UNRESOLVED_IMPORT", path, `more than ${sourceFilesMax} files`);
    }
    const parsed = parseSourceModule(path, this.text(path));
    this.#modules.set(path, parsed);
    return parsed;
  }

  text(path: string): string {
    const text = this.#tryRead(path);
    if (text === undefined) {
      throw new CodeHashError("UNRESOLVED_IMPORT", path, "cannot read the source file");
    }
    return text;
  }

  /** The file, built-in module or package version a specifier means in a module. */
  target(from: SourceModule, specifier: string): ImportTarget {
    if (isBuiltin(specifier)) return { kind: "node", name: specifier.replace(/^node:/, "") };
    if (/^\.{0,2}\//.test(specifier)) {
      const path = this.#resolveFile(from, specifier);
      return { kind: extname(path) === ".json" ? "json" : "file", path };
    }
    return this.#resolvePackage(from, specifier);
  }

  /**
   * The file a package's specifier leads to, links followed; undefined for anything else and for our own packages,
   * which have no code of authors.
   */
  findPackageEntry(from: SourceModule, specifier: string): string | undefined {
    if (isBuiltin(specifier) || /^\.{0,2}\//.test(specifier)) return undefined;
    const name = packageName(specifier);
    if (ownPackages.has(name)) return undefined;
    const folder = this.#packageFolder(from, name);
    if (folder === undefined) return undefined;
    const manifest = this.#tryRead(join(folder, "package.json"))!;
    const found = packageEntryPaths(manifest, `.${specifier.slice(name.length)}`)
      .flatMap((path) => candidates(join(folder, path)))
      .find((path) => /\.[cm]?[jt]s$/.test(path) && this.#tryRead(path) !== undefined);
    return found === undefined ? undefined : this.#realPath(found);
  }

  /** Like {@link target}, but undefined where that throws `UNRESOLVED_IMPORT`. */
  findTarget(from: SourceModule, specifier: string): ImportTarget | undefined {
    try {
      return this.target(from, specifier);
    } catch (error) {
      if (error instanceof CodeHashError && error.reason === "UNRESOLVED_IMPORT") return undefined;
      throw error;
    }
  }

  /** Follows re-exports to the module that declares an export, or out of the tree. */
  findExport(
    module: SourceModule,
    name: string,
    seen = new Set<string>(),
  ): FoundExport | ForeignExport | undefined {
    const key = `${module.path}\0${name}`;
    if (seen.has(key)) return undefined;
    seen.add(key);
    const found = module.exports.get(name);
    if (found !== undefined) {
      return found.kind === "import"
        ? this.#follow(module, found.from, found.imported, seen)
        : { module, found };
    }
    if (name === "default") return undefined;
    for (const specifier of module.starExports) {
      const target = this.target(module, specifier);
      // A star export of a package is a guess, as its names are unknown: taken only when no file has the name.
      if (target.kind !== "file") continue;
      const inner = this.findExport(this.module(target.path), name, seen);
      if (inner !== undefined) return inner;
    }
    const foreign = module.starExports.find((one) => this.target(module, one).kind !== "file");
    if (foreign === undefined) return undefined;
    return { target: this.target(module, foreign), imported: name, specifier: foreign };
  }

  #follow(module: SourceModule, from: string, imported: string, seen: Set<string>) {
    const target = this.target(module, from);
    if (target.kind === "file" && imported !== "*") {
      return this.findExport(this.module(target.path), imported, seen);
    }
    return { target, imported, specifier: from };
  }

  #resolveFile(from: SourceModule, specifier: string): string {
    const exact = resolve(dirname(from.path), specifier);
    for (const path of candidates(exact)) if (this.#tryRead(path) !== undefined) return path;
    throw unresolved(from, specifier);
  }

  #resolvePackage(from: SourceModule, specifier: string): ImportTarget {
    const name = packageName(specifier);
    const folder = this.#packageFolder(from, name);
    if (folder === undefined) throw unresolved(from, specifier);
    const manifest = this.#tryRead(join(folder, "package.json"))!;
    return { kind: "package", name, version: versionIn(manifest, from, specifier) };
  }

  /** Nearest folder of a package; a package may import itself by name. */
  #packageFolder(from: SourceModule, name: string): string | undefined {
    for (let folder = dirname(from.path); ; folder = dirname(folder)) {
      const installed = join(folder, "node_modules", name);
      if (this.#tryRead(join(installed, "package.json")) !== undefined) return installed;
      const manifest = this.#tryRead(join(folder, "package.json"));
      if (manifest !== undefined && manifestField(manifest, "name") === name) return folder;
      if (folder === dirname(folder)) return undefined;
    }
  }

  #tryRead(path: string): string | undefined {
    if (!this.#texts.has(path)) this.#texts.set(path, this.#read(path));
    return this.#texts.get(path);
  }

  #read(path: string): string | undefined {
    try {
      return this.#readFile(path);
    } catch {
      return undefined;
    }
  }
}

/** A specifier may name the source (`./a.ts`), what it is compiled to (`./a.js`), or leave out the ending. */
function candidates(exact: string): string[] {
  const ending = /\.([cm]?)([jt])s$/.exec(exact);
  if (ending === null) {
    const endings = [".ts", ".js", ".mts", ".mjs"];
    const inFolder = endings.map((one) => join(exact, `index${one}`));
    return extname(exact) === ".json"
      ? [exact]
      : [...endings.map((one) => exact + one), ...inFolder];
  }
  const other = `.${ending[1]}${ending[2] === "j" ? "t" : "j"}s`;
  return [exact, exact.slice(0, -ending[0].length) + other];
}

function packageName(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function versionIn(manifest: string, from: SourceModule, specifier: string): string {
  const version = manifestField(manifest, "version");
  if (typeof version !== "string") throw unresolved(from, specifier);
  return version;
}

function manifestField(manifest: string, field: string): unknown {
  const parsed: unknown = JSON.parse(manifest);
  if (typeof parsed !== "object" || parsed === null) return undefined;
  return new Map<string, unknown>(Object.entries(parsed)).get(field);
}

function unresolved(from: SourceModule, specifier: string): CodeHashError {
  return new CodeHashError(
    "UNRESOLVED_IMPORT",
    from.path,
    `cannot find what "${specifier}" imports`,
    specifier,
  );
}

type ExportsEntry = string | null | readonly ExportsEntry[] | ExportsMap;
interface ExportsMap {
  readonly [key: string]: ExportsEntry;
}

/** The fields of a package.json that decide which file an import loads. */
interface PackageManifest {
  readonly exports?: ExportsEntry;
  readonly main?: string;
}

/** Conditions that never hold for `import` in Node. Any other may hold: authors can set conditions of their own. */
const foreignConditions = new Set([
  "browser",
  "bun",
  "deno",
  "edge-light",
  "electron",
  "react-native",
  "require",
  "worker",
  "workerd",
]);

/**
 * Files a package offers under one of its paths (`.` or `./sub`), likeliest first: those that `import` in Node may
 * load, in the order of its manifest. Empty for a path it does not offer, or a manifest that cannot be read.
 *
 * @param manifest text of its package.json
 */
function packageEntryPaths(manifest: string, subpath: string): string[] {
  const parsed = readManifest(manifest);
  if (parsed === undefined) return [];
  const { exports, main } = parsed;
  if (exports === undefined || exports === null) {
    return [subpath === "." ? (main ?? "index.js") : subpath];
  }
  if (!isMap(exports) || !Object.keys(exports).some((one) => one.startsWith("."))) {
    return subpath === "." ? leafPaths(exports) : [];
  }
  const exact = exports[subpath];
  return exact === undefined ? patternPaths(exports, subpath) : leafPaths(exact);
}

function readManifest(text: string): PackageManifest | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** A key with a star matches many paths; of those that match, the one with the longest text before the star counts. */
function patternPaths(exports: ExportsMap, subpath: string): string[] {
  const fits = Object.entries(exports).flatMap(([key, entry]) => {
    const [before = "", after] = key.split("*");
    const isLongEnough = subpath.length >= key.length;
    if (after === undefined || !isLongEnough) return [];
    if (!subpath.startsWith(before) || !subpath.endsWith(after)) return [];
    const star = subpath.slice(before.length, subpath.length - after.length);
    return [{ before, paths: leafPaths(entry).map((path) => path.replaceAll("*", star)) }];
  });
  fits.sort((a, b) => b.before.length - a.before.length);
  return fits[0]?.paths ?? [];
}

function leafPaths(entry: ExportsEntry): string[] {
  if (typeof entry === "string") return /\.d\.[cm]?ts$/.test(entry) ? [] : [entry];
  if (entry === null) return [];
  if (!isMap(entry)) return entry.flatMap(leafPaths);
  return Object.entries(entry).flatMap(([condition, inner]) =>
    condition.startsWith("types") || foreignConditions.has(condition) ? [] : leafPaths(inner),
  );
}

function isMap(entry: ExportsEntry): entry is ExportsMap {
  return typeof entry === "object" && entry !== null && !Array.isArray(entry);
}
