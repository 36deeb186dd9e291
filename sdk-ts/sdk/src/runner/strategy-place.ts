import { basename } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Where in a strategy's file an error came from, for messages: `strategy.ts:12`; without a frame of the file in its
 * stack `strategy.ts`.
 */
export function placeIn(file: string, error: unknown): string {
  return lineIn(file, error) ?? basename(file);
}

/** The same; undefined without a frame of the file. */
export function lineIn(file: string, error: unknown): string | undefined {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  for (const name of [pathToFileURL(file).href, file]) {
    const at = stack.indexOf(`${name}:`);
    const line = at < 0 ? undefined : /^\d+/.exec(stack.slice(at + name.length + 1))?.[0];
    if (line !== undefined) return `${basename(file)}:${line}`;
  }
  return undefined;
}
