import { type Program, parseSync } from "oxc-parser";
import { checkLiteral } from "./check-literal.ts";
import { checkNodeTags } from "./check-node-tags.ts";
import { findTags } from "./find-tags.ts";
import type { TagFinding, TextEdit } from "./tag-finding.ts";

/** A module that cannot be read as JavaScript or TypeScript. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  /** Where it breaks, in UTF-16 units. */
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/**
 * The faults of a module's tags, without running it: of its exported `TAGS`, and of tags given to nodes.
 *
 * @param path decides between JavaScript and TypeScript
 * @throws {SourceError} where the text is no module
 */
export function lintTags(path: string, text: string): TagFinding[] {
  const program = parse(path, text);
  return [...tagsFindings(text, program), ...checkNodeTags(program)];
}

/** A text mended as far as it can be. */
export interface MendedSource {
  readonly text: string;
  /** What was mended, with its places in the text as it was. */
  readonly mended: readonly TagFinding[];
  /** What is left for the author, with its places in the text as it is now. */
  readonly left: readonly TagFinding[];
}

/**
 * Mends what needs no author: case, intervals, and keys that are missing, which are added *empty* and stay faults until
 * somebody fills them in. Nothing outside the literal of `TAGS` changes, nor any comment in it.
 *
 * @throws {SourceError}
 */
export function mendTags(path: string, text: string): MendedSource {
  const found = lintTags(path, text);
  const mended = found.filter(({ edits }) => edits !== undefined);
  if (mended.length === 0) return { text, mended, left: found };
  const now = applyEdits(
    text,
    mended.flatMap(({ edits = [] }) => edits),
  );
  return { text: now, mended, left: lintTags(path, now) };
}

function parse(path: string, text: string): Program {
  const lang = /\.[cm]?ts$/.test(path) ? "ts" : /\.tsx$/.test(path) ? "tsx" : "jsx";
  const { program, errors } = parseSync(path, text, { lang, sourceType: "module" });
  const first = errors.find(({ severity }) => severity === "Error");
  if (first !== undefined) throw new SourceError(first.message, first.labels[0]?.start ?? 0);
  return program;
}

function tagsFindings(text: string, program: Program): TagFinding[] {
  const tags = findTags(program);
  if (tags.kind === "literal") return checkLiteral(text, tags.object);
  if (tags.kind === "none") {
    const message = "the module exports no TAGS; write export const TAGS = {…}";
    return [{ rule: "tags-missing", message, at: 0 }];
  }
  const message = `TAGS is ${tags.what}; write it out as an object literal`;
  return [{ rule: "tags-not-literal", message, at: tags.at }];
}

function applyEdits(text: string, edits: readonly TextEdit[]): string {
  let done = "";
  let from = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    done += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return done + text.slice(from);
}
