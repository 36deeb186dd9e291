import { type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { QmtlError } from "@qmtl/sdk/rpc";
import { fieldValue } from "./contract-marks.ts";

/** Whole numbers travel in 64 bits, and are counted and stored as far as JavaScript counts exactly: 2⁵³ − 1. */
const wholeMax = BigInt(Number.MAX_SAFE_INTEGER);
/** Of a `Timestamp`, by its own definition: 0001-01-01 to 9999-12-31, seconds. */
const timestampMin = -62_135_596_800n;
const timestampMax = 253_402_300_799n;
/** Of a `Duration`, by its own definition: about 10,000 years, seconds. */
const durationMax = 315_576_000_000n;
const nanosMax = 999_999_999;

/** Says what is wrong with a value; undefined if nothing is. */
type ValueCheck = (value: unknown) => string | undefined;

/** A field whose values are checked, or whose message has such fields. */
interface CheckedField {
  readonly field: DescField;
  readonly check: ValueCheck | undefined;
  /** Also of the keys of a map. */
  readonly hasTextKeys: boolean;
  readonly child: readonly CheckedField[] | undefined;
}

const plans = new WeakMap<DescMessage, CheckedField[]>();

/**
 * Refuses values that every message type can hold, and that nothing here can keep: text with U+0000, whole numbers beyond
 * 2⁵³ − 1 in size, and times and durations outside their own range.
 *
 * @throws {QmtlError} INVALID_FIELD naming the first such field.
 */
export function checkStorable(desc: DescMessage, request: Message): void {
  const fault = faultIn(checkedFields(desc), request);
  if (fault === undefined) return;
  const { field, description } = fault;
  throw new QmtlError("INVALID_FIELD", `${field} ${description}`, {
    fields: [{ field, description }],
  });
}

/** What is wrong in a message, and where; the path is written only then. */
interface Fault {
  readonly field: string;
  readonly description: string;
}

/** Made once per type. */
function checkedFields(desc: DescMessage): readonly CheckedField[] {
  const known = plans.get(desc);
  if (known !== undefined) return known;
  const fields: CheckedField[] = [];
  plans.set(desc, fields);
  for (const field of desc.fields) {
    const check = checkOf(field);
    const hasTextKeys = field.fieldKind === "map" && field.mapKey === ScalarType.STRING;
    const inner = check === undefined ? field.message : undefined;
    const child = inner === undefined ? undefined : checkedFields(inner);
    if (check !== undefined || hasTextKeys || child !== undefined)
      fields.push({ field, check, hasTextKeys, child });
  }
  return fields;
}

function checkOf(field: DescField): ValueCheck | undefined {
  const typeName = field.message?.typeName;
  if (typeName === "google.protobuf.Timestamp") return wrongTimestamp;
  if (typeName === "google.protobuf.Duration") return wrongDuration;
  switch (field.scalar) {
    case ScalarType.STRING:
      return wrongText;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return wrongWhole;
    default:
      return undefined;
  }
}

function faultIn(fields: readonly CheckedField[], message: object): Fault | undefined {
  for (const checked of fields) {
    const value = fieldValue(message, checked.field);
    if (value === undefined) continue;
    const fault = faultOfField(checked, value);
    if (fault !== undefined) return { ...fault, field: `${checked.field.name}${fault.field}` };
  }
  return undefined;
}

/** As `faultIn`, with the path that follows the name of the field. */
function faultOfField(checked: CheckedField, value: unknown): Fault | undefined {
  const { fieldKind } = checked.field;
  if (fieldKind === "list") {
    const items = value as readonly unknown[];
    for (let index = 0; index < items.length; index++) {
      const fault = faultOfValue(checked, items[index]);
      if (fault !== undefined) return { ...fault, field: `[${index}]${fault.field}` };
    }
    return undefined;
  }
  if (fieldKind !== "map") return faultOfValue(checked, value);
  for (const [key, each] of Object.entries(value as object)) {
    const wrongKey = checked.hasTextKeys ? wrongText(key) : undefined;
    if (wrongKey !== undefined) return { field: "", description: `a key ${wrongKey}` };
    const fault = faultOfValue(checked, each);
    if (fault !== undefined) return { ...fault, field: `["${key}"]${fault.field}` };
  }
  return undefined;
}

function faultOfValue({ check, child }: CheckedField, value: unknown): Fault | undefined {
  const description = check?.(value);
  if (description !== undefined) return { field: "", description };
  const fault = child === undefined ? undefined : faultIn(child, value as object);
  return fault === undefined ? undefined : { ...fault, field: `.${fault.field}` };
}

function wrongText(value: unknown): string | undefined {
  return (value as string).includes("\0") ? "holds the character U+0000" : undefined;
}

function wrongWhole(value: unknown): string | undefined {
  const whole = value as bigint;
  const isKept = whole <= wholeMax && whole >= -wholeMax;
  return isKept ? undefined : `is ${whole}; whole numbers go to ${wholeMax}`;
}

function wrongTimestamp(value: unknown): string | undefined {
  const { seconds, nanos } = value as { seconds: bigint; nanos: number };
  const isTime = seconds >= timestampMin && seconds <= timestampMax;
  if (isTime && nanos >= 0 && nanos <= nanosMax) return undefined;
  return "is no time between 0001-01-01 and 9999-12-31";
}

function wrongDuration(value: unknown): string | undefined {
  const { seconds, nanos } = value as { seconds: bigint; nanos: number };
  const isShort = seconds >= -durationMax && seconds <= durationMax;
  const isOneSided = seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0;
  if (isShort && isOneSided && nanos >= -nanosMax && nanos <= nanosMax) return undefined;
  return "is no duration of 10,000 years at most";
}
