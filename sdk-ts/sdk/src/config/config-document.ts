import { lstatSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  type Document,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
} from "yaml";
import { ConfigError, type ConfigErrorReason } from "./config-error.ts";

/** Largest `qmtl.yml`, in bytes. */
export const configBytesMax = 1_048_576;

/** A parsed file, with the line and column of every key and value. */
export interface ConfigDocument {
  /** Absolute path; undefined when there is no file and defaults apply. */
  readonly file: string | undefined;
  readonly data: Record<string, unknown>;
  /** Line and column, from 1, of the value or key at a path, else of the nearest key above it, else undefined. */
  place(
    path: readonly PropertyKey[],
    of?: "key" | "value",
  ): { line: number; column: number } | undefined;
}

/**
 * Finds and parses the file: the given path, else `qmtl.yml`, else `qmtl.yaml` in `cwd`, else none. An empty file is
 * refused, because it is more often a lost file than a request for the defaults; `{}` asks for those.
 *
 * @throws {ConfigError} `CONFIG_NOT_FOUND` (a given path), `CONFIG_UNREADABLE`, `CONFIG_EMPTY`, `CONFIG_NOT_YAML`.
 */
export function readConfigDocument(path: string | undefined, cwd: string): ConfigDocument {
  const candidates =
    path === undefined
      ? ["qmtl.yml", "qmtl.yaml"].map((name) => join(cwd, name))
      : [resolve(cwd, path)];
  // A dangling link counts as a file: it must not be taken for "no file, so all defaults".
  const file = candidates.find(isThere);
  if (file !== undefined) return parseConfigDocument(readText(file), file);
  if (path !== undefined)
    throw refused("CONFIG_NOT_FOUND", candidates[0], "the file does not exist");
  return { file: undefined, data: {}, place: () => undefined };
}

/** Parses the text of a configuration file. */
function parseConfigDocument(text: string, file: string): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const at = lines.linePos(problem.pos[0]);
    const message = problem.message
      .split("\n")[0]!
      .replace(/ at line \d+.*$/, "")
      .replace(/; please use YAML\..*$/, "; only one is read");
    throw new ConfigError("CONFIG_NOT_YAML", file, [
      { path: "", message, line: at.line, column: at.col },
    ]);
  }
  const data = plainData(document, file);
  if (data === null || data === undefined) {
    throw refused("CONFIG_EMPTY", file, "the file is empty; write {} to run with defaults only");
  }
  if (!isMap(document.contents) || !isRecord(data)) {
    throw refused("CONFIG_NOT_YAML", file, "expected a YAML mapping of sections");
  }
  return { file, data, place: (path, of = "value") => place(document, lines, path, of) };
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true; // something is in the way; reading the file reports what
  }
}

/** Keys are names, as they are written: the symbol `005930` is not the number 5930. None may stand twice. */
function keepKeysAsWritten(document: Document.Parsed): void {
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (typeof key.value !== "string") key.value = key.source ?? key.value;
        if (seen.has(key.value)) throw new Error(`the key "${String(key.value)}" stands twice`);
        seen.add(key.value);
      }
    },
  });
}

function plainData(document: Document.Parsed, file: string): unknown {
  try {
    keepKeysAsWritten(document);
    return document.toJS({ maxAliasCount: 100 });
  } catch (failure) {
    throw refused("CONFIG_NOT_YAML", file, messageOf(failure));
  }
}

function messageOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}

function readText(file: string): string {
  try {
    const stat = statSync(file);
    if (stat.isDirectory()) throw refused("CONFIG_UNREADABLE", file, "is a directory, not a file");
    // A pipe is accepted, because it may carry the file; reading a device might never end.
    if (!stat.isFile() && !stat.isFIFO()) throw refused("CONFIG_UNREADABLE", file, "is not a file");
    if (stat.size > configBytesMax)
      throw refused("CONFIG_UNREADABLE", file, `is larger than ${configBytesMax} bytes`);
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw refused("CONFIG_UNREADABLE", file, messageOf(error));
  }
}

function place(
  document: Document.Parsed,
  lines: LineCounter,
  path: readonly PropertyKey[],
  of: "key" | "value",
): { line: number; column: number } | undefined {
  for (let length = path.length; length > 0; length--) {
    const isWhole = length === path.length;
    const offset = offsetOf(document, path.slice(0, length).map(String), isWhole ? of : "key");
    if (offset === undefined) continue;
    const at = lines.linePos(offset);
    return { line: at.line, column: at.col };
  }
  return undefined;
}

function offsetOf(
  document: Document.Parsed,
  path: readonly string[],
  of: "key" | "value",
): number | undefined {
  if (of === "value") {
    const node = document.getIn(path, true);
    if (isNode(node) && node.range) return node.range[0];
  }
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  if (!isMap(parent)) return undefined;
  const last = path.at(-1);
  const pair = parent.items.find(
    (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === last,
  );
  return isNode(pair?.key) ? pair.key.range?.[0] : undefined;
}

function refused(
  reason: ConfigErrorReason,
  file: string | undefined,
  message: string,
): ConfigError {
  return new ConfigError(reason, file, [{ path: "", message }]);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
