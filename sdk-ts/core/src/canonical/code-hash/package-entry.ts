type ExportsEntry = string | null | readonly ExportsEntry[] | ExportsMap;
interface ExportsMap {
  readonly [key: string]: ExportsEntry;
}

/** What of a package.json says which file an import is. */
interface PackageManifest {
  readonly exports?: ExportsEntry;
  readonly main?: string;
}

/** Conditions under which `import` in Node takes no file. Others count: the author's own may be set. */
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
 * Files a package offers under a path of it (`.` or `./sub`), likeliest first: those that `import` in Node may take, in
 * the order in which its manifest writes them. Empty for a path it does not offer, or a manifest that cannot be read.
 *
 * @param manifest text of its package.json
 */
export function packageEntryPaths(manifest: string, subpath: string): string[] {
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

/** A key with a star offers every path it fits; the most exact one counts. */
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
