import {
  clearField,
  clone,
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  isMessage,
  type Message,
} from "@bufbuild/protobuf";
import { planned, planned_value, since_version } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { QmtlError } from "@qmtl/sdk/rpc";

/** A field that is marked, or whose message has a marked field somewhere in it. */
interface MarkedField {
  readonly field: DescField;
  /** `qmtl.order.v1.Target.exits`. */
  readonly name: string;
  readonly isPlanned: boolean;
  /** Schema version it belongs to; 1 without a mark. */
  readonly since: number;
  /** Full names of planned enum values, by number. */
  readonly plannedValues: ReadonlyMap<number, string> | undefined;
  readonly child: ContractMarks | undefined;
}

/** The marked fields of a message type and of what it holds: planned ones, and those of a later schema version. */
export interface ContractMarks {
  readonly fields: readonly MarkedField[];
}

const plans = new WeakMap<DescMessage, ContractMarks>();
const noMarks: ContractMarks = { fields: [] };

/** Marks of a type, made once per type: most have none, and then a check costs one comparison. */
export function contractMarks(desc: DescMessage): ContractMarks {
  const known = plans.get(desc);
  if (known !== undefined) return known;
  if (!leadsToMarks(desc, new Set())) {
    plans.set(desc, noMarks);
    return noMarks;
  }
  const fields: MarkedField[] = [];
  const marks = { fields };
  plans.set(desc, marks);
  for (const field of desc.fields) {
    const marked = markedField(field);
    if (marked !== undefined) fields.push(marked);
  }
  return marks;
}

function markedField(field: DescField): MarkedField | undefined {
  const isPlanned = getOption(field, planned);
  const since = Math.max(getOption(field, since_version), 1);
  const values = plannedValuesOf(field.enum);
  const inner = messageOf(field);
  const leads = inner !== undefined && leadsToMarks(inner, new Set());
  if (!isPlanned && since === 1 && values === undefined && !leads) return undefined;
  return {
    field,
    name: `${field.parent.typeName}.${field.name}`,
    isPlanned,
    since,
    plannedValues: values,
    child: leads ? contractMarks(inner) : undefined,
  };
}

function messageOf(field: DescField): DescMessage | undefined {
  const { message } = field;
  return message?.typeName.startsWith("qmtl.") === true ? message : undefined;
}

function plannedValuesOf(desc: DescEnum | undefined): ReadonlyMap<number, string> | undefined {
  if (desc === undefined) return undefined;
  const scope = desc.typeName.slice(0, desc.typeName.lastIndexOf("."));
  const values = desc.values
    .filter((value) => getOption(value, planned_value))
    .map((value) => [value.number, `${scope}.${value.name}`] as const);
  return values.length === 0 ? undefined : new Map(values);
}

function leadsToMarks(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  return desc.fields.some((field) => {
    if (getOption(field, planned) || getOption(field, since_version) > 1) return true;
    if (plannedValuesOf(field.enum) !== undefined) return true;
    const inner = messageOf(field);
    return inner !== undefined && leadsToMarks(inner, seen);
  });
}

/**
 * Refuses requests that set what this release does not serve, or fields of a later schema version than the caller
 * accepts.
 *
 * @throws {QmtlError} FEATURE_NOT_BUILT with the full name of the field or value; INVALID_FIELD for a later version.
 */
export function checkMarks(marks: ContractMarks, request: Message, versionMax: number): void {
  if (marks.fields.length > 0) checkFields(marks, request, versionMax, "");
}

function checkFields(marks: ContractMarks, message: object, versionMax: number, at: string): void {
  for (const marked of marks.fields) {
    const value = fieldValue(message, marked.field);
    if (!isSet(value)) continue;
    const path = `${at}${marked.field.name}`;
    if (marked.isPlanned) throw notServed(marked.name, path);
    if (marked.since > versionMax) throw tooNew(marked, path, versionMax);
    if (Array.isArray(value)) {
      for (const [index, each] of value.entries())
        checkValue(marked, each, versionMax, `${path}[${index}]`);
    } else if (marked.field.fieldKind === "map" && typeof value === "object" && value !== null) {
      for (const [key, each] of Object.entries(value))
        checkValue(marked, each, versionMax, `${path}["${key}"]`);
    } else {
      checkValue(marked, value, versionMax, path);
    }
  }
}

function checkValue(marked: MarkedField, value: unknown, versionMax: number, path: string): void {
  if (typeof value === "number") {
    const name = marked.plannedValues?.get(value);
    if (name !== undefined) throw notServed(name, path);
  }
  if (marked.child !== undefined && typeof value === "object" && value !== null)
    checkFields(marked.child, value, versionMax, `${path}.`);
}

/** The answer without the fields of schema versions after `version`; the message itself when none of them is set. */
export function withoutLaterFields<T extends Message>(
  desc: DescMessage,
  answer: T,
  version: number,
): T {
  const marks = contractMarks(desc);
  if (marks.fields.length === 0 || !hasLater(marks, answer, version)) return answer;
  // A copy: the handler may hand out one message to many callers.
  const copy = clone(desc, answer) as T;
  clearLater(marks, copy, version);
  return copy;
}

function hasLater(marks: ContractMarks, message: object, version: number): boolean {
  return marks.fields.some(({ field, since, child }) => {
    const value = fieldValue(message, field);
    if (!isSet(value)) return false;
    if (since > version) return true;
    return (
      child !== undefined && innerMessages(value).some((each) => hasLater(child, each, version))
    );
  });
}

function clearLater(marks: ContractMarks, message: Message, version: number): void {
  for (const { field, since, child } of marks.fields) {
    const value = fieldValue(message, field);
    if (!isSet(value)) continue;
    if (since > version) clearField(message, field);
    else if (child !== undefined)
      for (const each of innerMessages(value)) clearLater(child, each, version);
  }
}

function innerMessages(value: unknown): readonly Message[] {
  if (isMessage(value)) return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).filter((each) => isMessage(each));
}

/** Value of a field; undefined where it has none, or another member of its oneof is set. */
export function fieldValue(message: object, field: DescField): unknown {
  if (field.oneof === undefined) return Reflect.get(message, field.localName);
  const member: unknown = Reflect.get(message, field.oneof.localName);
  if (typeof member !== "object" || member === null || !("case" in member)) return undefined;
  return member.case === field.localName && "value" in member ? member.value : undefined;
}

/** Whether a value differs from the one a field without presence has by default. */
function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === 0 || value === 0n || value === "")
    return false;
  if (value === false) return false;
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length > 0;
  if (typeof value === "object" && !("$typeName" in value)) return Object.keys(value).length > 0;
  return true;
}

function notServed(feature: string, field: string): QmtlError {
  return new QmtlError(
    "FEATURE_NOT_BUILT",
    `${feature} is planned and not served by this release`,
    {
      metadata: { feature },
      fields: [{ field, description: "is planned and not served by this release" }],
    },
  );
}

function tooNew({ since }: MarkedField, field: string, versionMax: number): QmtlError {
  const description = `belongs to schema version ${since}; the request accepts ${versionMax} at most`;
  return new QmtlError("INVALID_FIELD", `${field} ${description}`, {
    fields: [{ field, description }],
  });
}

/** Full names of all planned fields and values a request of this type could set; sorted. */
export function plannedNames(desc: DescMessage): readonly string[] {
  const names = new Set<string>();
  collect(contractMarks(desc), names, new Set());
  return [...names].sort();
}

function collect(marks: ContractMarks, names: Set<string>, seen: Set<ContractMarks>): void {
  if (seen.has(marks)) return;
  seen.add(marks);
  for (const { name, isPlanned, plannedValues, child } of marks.fields) {
    if (isPlanned) names.add(name);
    for (const value of plannedValues?.values() ?? []) names.add(value);
    if (child !== undefined) collect(child, names, seen);
  }
}
