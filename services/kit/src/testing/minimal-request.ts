import {
  type DescField,
  type DescMessage,
  type DescOneof,
  getOption,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  type FieldRules,
  field as fieldRules,
  oneof as oneofRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** Text for a field that must not be empty, by the pattern that the contract states for it. */
const TEXTS: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/blake3/, `blake3:${"0".repeat(64)}`],
  [/0-9\]\{1,30\}/, "1"],
];
const ABSENT = "no-such-name";

/** Names of things that exist, by the name of the field that refers to them. */
export type Names = Readonly<Record<string, string>>;

/**
 * The smallest request that every rule of its contract accepts, as JSON: only fields that must be set are set. A name
 * in it refers to nothing, unless `there` has one for its field.
 */
export function minimalRequest(message: DescMessage, there: Names = {}): JsonObject {
  const fields = message.members.flatMap((member): readonly (readonly [string, JsonValue])[] => {
    if (member.kind === "oneof") return oneofOf(member, there);
    const value = needed(member, there);
    return value === undefined ? [] : [[member.jsonName, value]];
  });
  return Object.fromEntries(fields);
}

function oneofOf(member: DescOneof, there: Names): readonly (readonly [string, JsonValue])[] {
  const [first] = member.fields;
  if (first === undefined || getOption(member, oneofRules).required !== true) return [];
  return [[first.jsonName, valueFor(first, getOption(first, fieldRules), there)]];
}

/** The value of a field that must be set; undefined for one that may be left out. */
function needed(field: DescField, there: Names): JsonValue | undefined {
  const rules = getOption(field, fieldRules);
  const { type } = rules;
  if (field.fieldKind === "list") {
    return type.case === "repeated" && type.value.minItems > 0n
      ? [valueFor(field, rules, there)]
      : undefined;
  }
  if (field.fieldKind === "map") return undefined;
  const isNeeded =
    rules.required ||
    (type.case === "string" &&
      (type.value.minLen > 0n || type.value.minBytes > 0n || isPatterned(type.value.pattern))) ||
    (type.case === "bytes" && type.value.minLen > 0n) ||
    (type.case === "enum" && type.value.notIn.includes(0)) ||
    isAboveZero(type.value);
  return isNeeded ? valueFor(field, rules, there) : undefined;
}

/** Whether a number must be greater than another: one that only must not be negative may be 0. */
const isAboveZero = (rules: object | undefined): boolean =>
  rules !== undefined &&
  "greaterThan" in rules &&
  (rules.greaterThan as { readonly case?: string }).case === "gt";

const isPatterned = (pattern: string): boolean =>
  pattern !== "" && !new RegExp(pattern, "u").test("");

/** A value that the rules accept; for a list, the value of one item. */
function valueFor(field: DescField, rules: FieldRules, there: Names): JsonValue {
  if (field.message !== undefined) return messageValue(field.message, there);
  if (field.enum !== undefined)
    return field.enum.values.find(({ number }) => number !== 0)?.number ?? 0;
  switch (field.scalar) {
    case ScalarType.STRING:
      return there[field.name] ?? textFor(rules);
    case ScalarType.BYTES:
      return "AA==";
    case ScalarType.BOOL:
      return true;
    default:
      return 1;
  }
}

function messageValue(message: DescMessage, there: Names): JsonValue {
  switch (message.typeName) {
    case "google.protobuf.Duration":
      return "1s";
    case "google.protobuf.Timestamp":
      return "2020-01-01T00:00:00Z";
    case "google.protobuf.FieldMask":
      return "";
    default:
      return minimalRequest(message, there);
  }
}

function textFor({ type }: FieldRules): string {
  const own = type.case === "repeated" ? type.value.items?.type : type;
  const pattern = own?.case === "string" ? own.value.pattern : "";
  return TEXTS.find(([like]) => like.test(pattern))?.[1] ?? ABSENT;
}
