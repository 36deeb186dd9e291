import { nearestName } from "@qmtl/sdk/config";
import type { ObjectExpression, ObjectProperty } from "oxc-parser";
import { canonicalInterval } from "./canonical-interval.ts";
import { literalValue, quoted } from "./literal-value.ts";
import { addKeys } from "./missing-keys.ts";
import type { TagFinding, TextEdit } from "./tag-finding.ts";

const REQUIRED = ["scope", "family", "interval", "asset"] as const;
const OPTIONAL = ["window", "price", "side", "target_horizon", "label"] as const;
const KNOWN: readonly string[] = [...REQUIRED, ...OPTIONAL];
const NUMERIC: ReadonlySet<string> = new Set(["window", "target_horizon"]);

/** The faults of a `TAGS` literal, in order of their place. */
export function checkLiteral(text: string, object: ObjectExpression): TagFinding[] {
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
  // What a spread brings is not known, so nothing can be said to be missing.
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

/** Faults of a key, and the known key it means, unless that came before. */
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
      nearest === undefined ? `known are ${KNOWN.join(", ")}` : `do you mean ${nearest}?`;
    return { findings: [{ rule: "key-unknown", message: `"${name}" is no key; ${more}`, at }] };
  }
  if (seen.has(key) || (name !== key && present.has(key)))
    return { findings: [{ rule: "key-duplicate", message: `${key} comes twice`, at }] };
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
  return `${JSON.stringify(value)} is no interval; ${hint}`;
}

/** The quotes the literal's texts have. */
function quoteOf(text: string, { properties }: ObjectExpression): string {
  for (const each of properties) {
    const first = each.type === "Property" ? text[each.value.start] : undefined;
    if (first === '"' || first === "'") return first;
  }
  return '"';
}
