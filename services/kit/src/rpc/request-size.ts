import {
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  type FieldRules,
  field as fieldOption,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { max_text_bytes } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { QmtlError } from "@qmtl/sdk/rpc";

/** Requests of fewer bytes are not scanned: whatever they hold is decoded quickly. */
const SCANNED_BYTES_MIN = 32 * 1024;
/** Largest number of elements of a list or map without a rule of its own. */
const ITEMS_MAX = 20_000;
/** Largest number of bytes of a text that has rules, but none for its length: checking it looks at each character. */
const TEXT_BYTES_MAX = 1024 * 1024;
/** Largest number of fields of a request, nested ones included: a graph of 10,000 nodes has a quarter of that. */
const FIELDS_MAX = 1_000_000;
/** Largest number of fields that this version does not know. */
const UNKNOWN_FIELDS_MAX = 1_000;
/** Largest number of bytes of one character in UTF-8. */
const CHAR_BYTES_MAX = 4;
/** Deepest nesting of messages. */
const DEPTH_MAX = 100;

interface FieldRule {
  readonly name: string;
  /** Largest number of elements; undefined for a field that is not a list or map. */
  readonly itemsMax: number | undefined;
  /** Largest number of bytes of one value; undefined where only the size of the request bounds it. */
  readonly bytesMax: number | undefined;
  /** Whether `bytesMax` is `max_text_bytes`, which no validator checks. */
  readonly isBoundHereAlone: boolean;
  readonly message: DescMessage | undefined;
}

const compiled = new WeakMap<DescMessage, ReadonlyMap<number, FieldRule>>();

/**
 * Refuses, before it is decoded, a large request that breaks a rule about how much it may hold: decoding it, and
 * checking each element of it, would hold up every other call for seconds. Looks at lengths only; what is malformed is
 * left to the decoder.
 *
 * @throws {QmtlError} INVALID_FIELD, naming the field.
 */
export function checkRequestSize(desc: DescMessage, bytes: Uint8Array): void {
  if (bytes.length >= SCANNED_BYTES_MIN) new Scan(bytes).message(desc, 0, bytes.length, "", 0);
}

/** The same for a message that is already decoded, for example from JSON: items, and texts that no validator bounds. */
export function checkDecodedSize(desc: DescMessage, message: object, path = ""): void {
  for (const field of desc.fields) {
    const value: unknown = Reflect.get(message, field.localName);
    const rule = rulesOf(desc).get(field.number);
    const at = path + field.name;
    if (typeof value === "string") {
      const { bytesMax = 0, isBoundHereAlone = false } = rule ?? {};
      if (isBoundHereAlone && Buffer.byteLength(value) > bytesMax) throw tooLong(at, bytesMax);
      continue;
    }
    if (field.fieldKind !== "list" && field.fieldKind !== "map" && field.fieldKind !== "message")
      continue;
    if (typeof value !== "object" || value === null) continue;
    if (field.fieldKind === "message") {
      if (rule?.message !== undefined) checkDecodedSize(rule.message, value, `${at}.`);
      continue;
    }
    const items: unknown[] = Object.values(value);
    const itemsMax = rule?.itemsMax ?? ITEMS_MAX;
    if (items.length > itemsMax) throw tooMany(at, itemsMax);
    if (rule?.message === undefined || field.fieldKind === "map") continue;
    for (const [index, item] of items.entries()) {
      if (typeof item !== "object" || item === null) continue;
      checkDecodedSize(rule.message, item, `${at}[${index}].`);
    }
  }
}

function rulesOf(desc: DescMessage): ReadonlyMap<number, FieldRule> {
  const known = compiled.get(desc);
  if (known !== undefined) return known;
  const rules = new Map(desc.fields.map((field) => [field.number, ruleOf(field)]));
  compiled.set(desc, rules);
  return rules;
}

function ruleOf(field: DescField): FieldRule {
  const rules = hasOption(field, fieldOption) ? getOption(field, fieldOption).type : undefined;
  const isMany = field.fieldKind === "list" || field.fieldKind === "map";
  const stated =
    rules?.case === "repeated"
      ? rules.value.maxItems
      : rules?.case === "map"
        ? rules.value.maxPairs
        : 0n;
  const itemsMax = isMany ? Number(stated) || ITEMS_MAX : undefined;
  const message = field.fieldKind === "map" ? undefined : (field.message ?? undefined);
  const isText = field.scalar === ScalarType.STRING && field.fieldKind !== "map";
  const ownMax = isText ? getOption(field, max_text_bytes) : 0;
  const bytesMax = isText ? ownMax || textBytesMax(rules) : undefined;
  return { name: field.name, itemsMax, bytesMax, isBoundHereAlone: ownMax > 0, message };
}

/** Largest number of bytes that the rules of a text, or of a list's texts, allow; undefined without such rules. */
function textBytesMax(rules: FieldRules["type"] | undefined): number | undefined {
  const own = rules?.case === "repeated" ? rules.value.items?.type : rules;
  if (own?.case !== "string") return undefined;
  const { maxBytes, maxLen } = own.value;
  return Number(maxBytes) || Number(maxLen) * CHAR_BYTES_MAX || TEXT_BYTES_MAX;
}

/** Wire types of the encoding. */
const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** A field as it is encoded on the wire. */
interface WireField {
  readonly wireType: number;
  readonly rule: FieldRule | undefined;
  /** Which element of a list or map it is; undefined for a field that is neither. */
  readonly index: number | undefined;
}

const nameAt = ({ name }: FieldRule, index: number | undefined): string =>
  index === undefined ? name : `${name}[${index}]`;

/** One walk over the bytes of a request. */
class Scan {
  readonly #bytes: Uint8Array;
  #at = 0;
  #fields = 0;
  #unknown = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Walks a message from `start` to `end`; false when it is malformed. */
  message(desc: DescMessage, start: number, end: number, path: string, depth: number): boolean {
    const rules = rulesOf(desc);
    const counts = new Map<number, number>();
    this.#at = start;
    while (this.#at < end) {
      const tag = this.#varint();
      const number = Math.floor(tag / 8);
      const wireType = tag % 8;
      this.#fields += 1;
      if (this.#fields > FIELDS_MAX) throw tooLarge(`more than ${FIELDS_MAX} fields`);
      const rule = rules.get(number);
      if (rule === undefined) {
        this.#unknown += 1;
        if (this.#unknown > UNKNOWN_FIELDS_MAX) {
          throw tooLarge(`more than ${UNKNOWN_FIELDS_MAX} fields that are not known here`);
        }
      }
      let index: number | undefined;
      if (rule?.itemsMax !== undefined && wireType === DELIMITED) {
        const count = (counts.get(number) ?? 0) + 1;
        if (count > rule.itemsMax) throw tooMany(path + rule.name, rule.itemsMax);
        counts.set(number, count);
        index = count - 1;
      }
      if (!this.#value({ wireType, rule, index }, end, path, depth)) return false;
    }
    return this.#at === end;
  }

  #value({ wireType, rule, index }: WireField, end: number, path: string, depth: number): boolean {
    if (wireType === VARINT) this.#varint();
    else if (wireType === FIXED64) this.#at += 8;
    else if (wireType === FIXED32) this.#at += 4;
    else if (wireType !== DELIMITED) return false;
    else {
      const length = this.#varint();
      const valueEnd = this.#at + length;
      if (valueEnd > end) return false;
      if (rule?.bytesMax !== undefined && length > rule.bytesMax) {
        throw tooLong(path + nameAt(rule, index), rule.bytesMax);
      }
      if (rule?.message !== undefined && depth < DEPTH_MAX) {
        const inner = `${path}${nameAt(rule, index)}.`;
        if (!this.message(rule.message, this.#at, valueEnd, inner, depth + 1)) return false;
      }
      this.#at = valueEnd;
    }
    return this.#at <= end;
  }

  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let length = 0; length < 10; length += 1) {
      const byte = this.#bytes[this.#at];
      this.#at += 1;
      if (byte === undefined) return value;
      value += (byte % 128) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
    return value;
  }
}

function tooMany(field: string, itemsMax: number): QmtlError {
  return refusal(field, `must hold at most ${itemsMax} items`);
}

function tooLong(field: string, bytesMax: number): QmtlError {
  return refusal(field, `is longer than ${bytesMax} bytes`);
}

function refusal(field: string, description: string): QmtlError {
  const fields = [{ field, description }];
  return new QmtlError("INVALID_FIELD", `${field} ${description}`, { fields });
}

function tooLarge(what: string): QmtlError {
  return new QmtlError("INVALID_FIELD", `the request holds ${what}`);
}
