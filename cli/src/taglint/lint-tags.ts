import { nearestName } from "@qmtl/sdk/config";
import {
  type ArrayExpression,
  type Expression,
  type NewExpression,
  type ObjectExpression,
  type ObjectProperty,
  type Program,
  parseSync,
  type Statement,
  Visitor,
} from "oxc-parser";
import { canonicalInterval } from "./canonical-interval.ts";
import { addKeys } from "./missing-keys.ts";
import type { TagFinding, TextEdit } from "./tag-finding.ts";

/** A module that cannot be read as JavaScript or TypeScript. */
class SourceError extends Error {
  override readonly name = "SourceError";
  /** Where parsing failed, in UTF-16 units from the start of the text. */
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/**
 * Finds faults in a module's tags without running it: in its exported `TAGS`, and in tags given to nodes.
 *
 * @param path decides between JavaScript and TypeScript
 * @throws {SourceError} where the text is not a module
 */
export function lintTags(path: string, text: string): TagFinding[] {
  const program = parse(path, text);
  return [...tagsFindings(text, program), ...checkNodeTags(program)];
}

/** A text fixed as far as it can be. */
export interface MendedSource {
  readonly text: string;
  /** What was fixed, with its places in the text as it was. */
  readonly mended: readonly TagFinding[];
  /** What is left for the author, with its places in the text as it is now. */
  readonly left: readonly TagFinding[];
}

/**
 * Mends what does not need the author: case, intervals, and missing keys, which are added *empty* and stay faults until
 * somebody fills them in. Changes nothing outside the literal of `TAGS`, and no comment in it.
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
    const message = "the module exports no TAGS; add export const TAGS = {…}";
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

const REQUIRED = ["scope", "family", "interval", "asset"] as const;
const OPTIONAL = ["window", "price", "side", "target_horizon", "label"] as const;
const KNOWN: readonly string[] = [...REQUIRED, ...OPTIONAL];
const NUMERIC: ReadonlySet<string> = new Set(["window", "target_horizon"]);

/** The faults of a `TAGS` literal, in order of position. */
function checkLiteral(text: string, object: ObjectExpression): TagFinding[] {
  const findings: TagFinding[] = [];
  const seen = new Set<string>();
  let isWhole = true;
  for (const property of object.properties) {
    if (property.type === "SpreadElement" || property.computed || property.kind !== "init") {
      isWhole = false;
      const message =
        "a spread, accessor or computed key cannot be read without running the module";
      findings.push({ rule: "tags-not-literal", message, at: property.start });
      continue;
    }
    const own = checkKey(property, seen, presentKeys(object));
    findings.push(...own.findings);
    if (own.key !== undefined) findings.push(...checkValue(text, property, own.key));
  }
  const missing = REQUIRED.filter((key) => !seen.has(key));
  // What a spread adds is not known, so no key can be said to be missing.
  if (!isWhole || missing.length === 0) return findings;
  const message = `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing`;
  const edits = addKeys(text, object, missing, quoteOf(text, object));
  return [{ rule: "key-missing", message, at: object.start, edits }, ...findings];
}

const nameOf = ({ key }: ObjectProperty): string =>
  key.type === "Identifier" ? key.name : key.type === "Literal" ? String(key.value) : "";

function presentKeys({ properties }: ObjectExpression): Set<string> {
  return new Set(properties.flatMap((each) => (each.type === "Property" ? [nameOf(each)] : [])));
}

/** Faults of a key, and the known key it means, unless that one is there already. */
function checkKey(
  property: ObjectProperty,
  seen: Set<string>,
  present: ReadonlySet<string>,
): { key?: string; findings: TagFinding[] } {
  const name = nameOf(property);
  const key = name.toLowerCase();
  const { start: at, end } = property.key;
  if (!KNOWN.includes(key)) {
    const nearest = nearestName(name, KNOWN);
    const more =
      nearest === undefined ? `the keys are ${KNOWN.join(", ")}` : `do you mean ${nearest}?`;
    return { findings: [{ rule: "key-unknown", message: `"${name}" is not a key; ${more}`, at }] };
  }
  if (seen.has(key) || (name !== key && present.has(key)))
    return { findings: [{ rule: "key-duplicate", message: `${key} appears twice`, at }] };
  seen.add(key);
  if (name === key) return { key, findings: [] };
  const message = `write "${name}" in lower case`;
  const quote = property.key.type === "Literal" ? property.key.raw?.[0] : "";
  const edits = property.shorthand
    ? undefined
    : [{ start: at, end, text: `${quote}${key}${quote}` }];
  return { key, findings: [{ rule: "key-case", message, at, ...(edits && { edits }) }] };
}

function checkValue(text: string, { value }: ObjectProperty, key: string): TagFinding[] {
  const { start: at, end } = value;
  const found = literalValue(value);
  const replace = (by: string): readonly TextEdit[] => {
    const before = text[at]!;
    const quote = /["'`]/.test(before) ? before : '"';
    return [{ start: at, end, text: quoted(by, quote) }];
  };
  if (
    found === undefined ||
    (typeof found === "number" && key !== "interval" && !NUMERIC.has(key))
  ) {
    const kinds = key === "interval" || NUMERIC.has(key) ? "a text or number" : "a text";
    return [{ rule: "value-type", message: `${key} must be ${kinds}, written out`, at }];
  }
  if (String(found).trim() === "") return [{ rule: "value-empty", message: `${key} is empty`, at }];
  if (key === "interval") {
    const canonical = canonicalInterval(found);
    if (canonical === found) return [];
    if (canonical === undefined)
      return [{ rule: "interval-invalid", message: notAnInterval(found), at }];
    const message = `write ${JSON.stringify(found)} as "${canonical}"`;
    return [{ rule: "interval-canonical", message, at, edits: replace(canonical) }];
  }
  const lower = String(found).toLowerCase();
  if (typeof found === "number" || lower === found) return [];
  const message = `write "${found}" in lower case`;
  return [{ rule: "value-case", message, at, edits: replace(lower) }];
}

function notAnInterval(value: string | number): string {
  const hint = /^\d+M$/.test(String(value))
    ? "it may mean months; minutes are written 1m"
    : "write 1m, 5m, 1h, 1d";
  return `${JSON.stringify(value)} is not an interval; ${hint}`;
}

/** The quotes that the literal's first string has; double quotes if it has none. */
function quoteOf(text: string, { properties }: ObjectExpression): string {
  for (const each of properties) {
    const first = each.type === "Property" ? text[each.value.start] : undefined;
    if (first === '"' || first === "'") return first;
  }
  return '"';
}

/** Name of the option that holds tags, by class of node. */
const TAG_OPTIONS: Readonly<Record<string, string>> = {
  StreamInput: "tags",
  TagQueryNode: "queryTags",
};

/** The faults of tags written out in the options of nodes, in order of position. */
function checkNodeTags(program: Program): TagFinding[] {
  const findings: TagFinding[] = [];
  new Visitor({
    NewExpression: (made) => {
      const list = tagList(made);
      if (list !== undefined) findings.push(...checkList(list));
    },
  }).visit(program);
  return findings;
}

function tagList({ callee, arguments: [options] }: NewExpression): ArrayExpression | undefined {
  const option = callee.type === "Identifier" ? TAG_OPTIONS[callee.name] : undefined;
  if (option === undefined || options?.type !== "ObjectExpression") return undefined;
  for (const each of options.properties) {
    if (each.type === "SpreadElement" || each.key.type !== "Identifier") continue;
    if (each.key.name === option && each.value.type === "ArrayExpression") return each.value;
  }
  return undefined;
}

function checkList({ elements }: ArrayExpression): TagFinding[] {
  const seen = new Set<string>();
  return elements.flatMap((element): TagFinding[] => {
    if (element === null || element.type === "SpreadElement") return [];
    const tag = literalValue(element);
    if (typeof tag !== "string") return [];
    const at = element.start;
    if (!/^[A-Za-z0-9_.-]{1,100}$/.test(tag)) {
      const message = `"${tag}" must be 1..100 characters of A-Za-z0-9_.-`;
      return [{ rule: "tag-characters", message, at }];
    }
    if (seen.has(tag)) return [{ rule: "tag-duplicate", message: `"${tag}" appears twice`, at }];
    seen.add(tag);
    return [];
  });
}

/** A module's exported `TAGS`: a literal that can be read, something else, or none. */
type FoundTags =
  | { readonly kind: "literal"; readonly object: ObjectExpression }
  | { readonly kind: "other"; readonly at: number; readonly what: string }
  | { readonly kind: "none" };

const NAME = "TAGS";

/** Finds `export const TAGS = {…}`, also with `as const`, `satisfies`, `Object.freeze`, or exported by its name. */
function findTags(program: Program): FoundTags {
  for (const statement of program.body) {
    if (statement.type !== "ExportNamedDeclaration") continue;
    if (statement.declaration !== null) {
      const found = declaredAs(statement.declaration, NAME);
      if (found !== undefined) return found;
      continue;
    }
    for (const { exported, local, start } of statement.specifiers) {
      if (textOf(exported) !== NAME) continue;
      if (statement.source !== null) return { kind: "other", at: start, what: "another module's" };
      const name = textOf(local);
      const found = program.body.map((each) => declaredAs(each, name)).find((each) => each);
      return found ?? { kind: "other", at: start, what: "not a constant of this module" };
    }
  }
  return { kind: "none" };
}

/** The value that a declaration gives to a name. */
function declaredAs(statement: Statement, name: string): FoundTags | undefined {
  if (statement.type !== "VariableDeclaration") return undefined;
  for (const { id, init, start } of statement.declarations) {
    if (id.type !== "Identifier" || id.name !== name) continue;
    const value = init === null ? undefined : unwrapped(init);
    if (value?.type === "ObjectExpression") return { kind: "literal", object: value };
    return { kind: "other", at: value?.start ?? start, what: "not an object literal" };
  }
  return undefined;
}

/** The expression inside types, parentheses and `Object.freeze`. */
function unwrapped(expression: Expression): Expression {
  switch (expression.type) {
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSTypeAssertion":
    case "TSNonNullExpression":
    case "ParenthesizedExpression":
      return unwrapped(expression.expression);
    case "CallExpression": {
      const [value] = expression.arguments;
      const isFrozen = value !== undefined && isFreeze(expression.callee);
      return isFrozen && value.type !== "SpreadElement" ? unwrapped(value) : expression;
    }
    default:
      return expression;
  }
}

function isFreeze(callee: Expression): boolean {
  return (
    callee.type === "MemberExpression" &&
    callee.object.type === "Identifier" &&
    callee.object.name === "Object" &&
    callee.property.type === "Identifier" &&
    callee.property.name === "freeze"
  );
}

function textOf(name: { type: string; name?: string; value?: unknown }): string {
  return name.name ?? String(name.value);
}

/** The text or number a literal stands for; undefined for any other expression. */
function literalValue(expression: Expression): string | number | undefined {
  if (expression.type === "Literal") {
    const { value } = expression;
    return typeof value === "string" || typeof value === "number" ? value : undefined;
  }
  const [only, ...others] = expression.type === "TemplateLiteral" ? expression.quasis : [];
  return others.length === 0 ? (only?.value.cooked ?? undefined) : undefined;
}

/** A text as a literal, in the given quotes where no character needs escaping; otherwise as in JSON. */
function quoted(text: string, quote: string): string {
  return /^[^\\'"`$\n\r\u2028\u2029]*$/.test(text) ? quote + text + quote : JSON.stringify(text);
}
