import type { ObjectExpression } from "oxc-parser";
import type { TextEdit } from "./tag-finding.ts";

/** Adds keys with empty values at the end of an object literal, in the layout it has. */
export function addKeys(
  text: string,
  object: ObjectExpression,
  keys: readonly string[],
  quote: string,
): TextEdit[] {
  const entries = keys.map((key) => `${key}: ${quote}${quote}`);
  const inside = text.slice(object.start + 1, object.end - 1);
  return inside.includes("\n")
    ? onLines(text, object, entries, inside)
    : inOneLine(text, object, entries, inside);
}

const insert = (at: number, text: string): TextEdit => ({ start: at, end: at, text });

function inOneLine(
  text: string,
  { start, end, properties }: ObjectExpression,
  entries: readonly string[],
  inside: string,
): TextEdit[] {
  const joined = entries.join(", ");
  const last = properties.at(-1);
  if (last === undefined) {
    if (inside.trim() === "") return [{ start: start + 1, end: end - 1, text: ` ${joined} ` }];
    return [insert(end - 1, `${/\s$/.test(inside) ? "" : " "}${joined} `)];
  }
  const comma = commaIn(text, last.end, end);
  return comma === undefined
    ? [insert(last.end, `, ${joined}`)]
    : [insert(comma + 1, ` ${joined},`)];
}

function onLines(
  text: string,
  { start, end, properties }: ObjectExpression,
  entries: readonly string[],
  inside: string,
): TextEdit[] {
  const newline = inside.includes("\r\n") ? "\r\n" : "\n";
  const last = properties.at(-1);
  const comma = last === undefined ? undefined : commaIn(text, last.end, end);
  const indent = indentOf(text, last?.start, start);
  const lines = entries.map((entry) => `${newline}${indent}${entry}`).join(",");
  const closes = last === undefined || comma !== undefined ? "," : "";
  const edits = [insert(start + 1 + inside.trimEnd().length, lines + closes)];
  return last === undefined || comma !== undefined ? edits : [insert(last.end, ","), ...edits];
}

/** Indentation of the last property, if it begins its line; else that of the literal's line and one level more. */
function indentOf(text: string, last: number | undefined, object: number): string {
  const own = last === undefined ? undefined : /(?:^|\n)([ \t]*)$/.exec(text.slice(0, last))?.[1];
  if (own !== undefined) return own;
  const outer = /(?:^|\n)([ \t]*)[^\n]*$/.exec(text.slice(0, object))?.[1] ?? "";
  return outer + (outer.includes("\t") ? "\t" : "  ");
}

/** Position of the comma after a property, past comments; undefined when there is none. */
function commaIn(text: string, from: number, to: number): number | undefined {
  const gap = /^(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/.exec(text.slice(from, to))?.[0].length ?? 0;
  return text[from + gap] === "," ? from + gap : undefined;
}
