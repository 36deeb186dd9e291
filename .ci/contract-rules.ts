// The rules of proto/README.md, checked on the descriptors. Each has a planted fault in .ci/seeded-contracts.ts.
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  getOption,
  hasOption,
  isFieldSet,
  ScalarType,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel, MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import {
  type EnumRules,
  type FieldRules,
  field as fieldRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { FieldBehavior, field_behavior } from "@qmtl/contracts/google/api/field_behavior_pb";
import { max_text_bytes, Role } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import {
  accessOption,
  type Contracts,
  commentOf,
  readContracts,
  rightName,
  roleName,
} from "./read-contracts.ts";

/** Where a contract breaks a rule. */
export interface Finding {
  readonly rule: string;
  /** Full name of the enum, method or field. */
  readonly where: string;
  readonly what: string;
}

type Found = readonly [where: string, what: string];

/** The rules, by name. */
const rules: Readonly<Record<string, (contracts: Contracts) => Iterable<Found>>> = {
  "enum zero": enumZeros,
  "idempotency level": idempotencyLevels,
  access: accessOptions,
  "schema version": schemaVersions,
  ticket: tickets,
  paging,
  "reading verb": readingVerbs,
  "viewer changes nothing": viewersChanges,
  "bare session": bareSessions,
  "closed enum": closedEnums,
  "bounded text": boundedTexts,
  "time type": timeTypes,
  "access table": accessTables,
};

export const ruleNames: readonly string[] = Object.keys(rules);

/** Everything in `proto/`, or in another folder with a `buf.yaml`, that breaks a rule. */
export function brokenRules(folder?: string): Finding[] {
  const contracts = readContracts(folder);
  return Object.entries(rules).flatMap(([rule, check]) =>
    [...check(contracts)].map(([where, what]) => ({ rule, where, what })),
  );
}

const methodsOf = ({ services }: Contracts): DescMethod[] =>
  services.flatMap(({ methods }) => methods);
const nameOf = ({ parent, name }: DescMethod): string => `${parent.typeName}/${name}`;
const fieldOf = (message: DescMessage, name: string): DescField | undefined =>
  message.fields.find((field) => field.name === name);
const isReading = ({ idempotency }: DescMethod): boolean =>
  idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

function* enumZeros({ files }: Contracts): Generator<Found> {
  const inside = (message: DescMessage): DescEnum[] => [
    ...message.nestedEnums,
    ...message.nestedMessages.flatMap(inside),
  ];
  for (const desc of files.flatMap(({ enums, messages }) => [
    ...enums,
    ...messages.flatMap(inside),
  ])) {
    if (desc.values[0]?.name.endsWith("_UNSPECIFIED") !== true)
      yield [desc.typeName, "its first value is not …_UNSPECIFIED"];
  }
}

function* idempotencyLevels(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts)) {
    const { options } = method.proto;
    const { idempotencyLevel } = MethodOptionsSchema.field;
    if (options === undefined || !isFieldSet(options, idempotencyLevel))
      yield [nameOf(method), "has no idempotency_level"];
  }
}

function* accessOptions(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts))
    if (accessOption(method) === undefined) yield [nameOf(method), "has no (access)"];
}

function* schemaVersions(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts)) {
    for (const [message, type] of [
      [method.input, "qmtl.type.v1.VersionRange"],
      [method.output, "qmtl.type.v1.SchemaVersion"],
    ] as const) {
      const [first] = message.fields;
      const isRight =
        first?.name === "schema_version" && first.number === 1 && first.message?.typeName === type;
      if (!isRight) yield [message.typeName, `its field 1 is not ${type} schema_version`];
    }
  }
}

function* tickets(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts)) {
    const needed = (accessOption(method)?.tickets.length ?? 0) > 0;
    const carried = fieldOf(method.input, "ticket") !== undefined;
    if (needed && !carried) yield [nameOf(method), "needs a ticket that its request cannot carry"];
    if (carried && !needed) yield [nameOf(method), "takes a ticket that (access) does not ask for"];
  }
}

function* paging(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts)) {
    const isPaged = fieldOf(method.input, "page_token") !== undefined;
    if (method.name.startsWith("List") !== isPaged)
      yield [nameOf(method), isPaged ? "is paged and no List…" : "is a list without page_token"];
    if (!isPaged) continue;
    if (fieldOf(method.input, "page_size") === undefined)
      yield [nameOf(method), "is paged without page_size"];
    if (fieldOf(method.output, "next_page_token") === undefined)
      yield [nameOf(method), "is paged without next_page_token"];
  }
}

const readingVerb = /^(Get|List|Watch|Explain|Decide|Plan|Preview|Consume|Subscribe)/;

function* readingVerbs(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts)) {
    if (readingVerb.test(method.name) === isReading(method)) continue;
    const what = isReading(method)
      ? "reads only, and its name says otherwise"
      : "is named like a reading method and is not NO_SIDE_EFFECTS";
    yield [nameOf(method), what];
  }
}

/** Methods by which a viewer changes nothing but what it sees itself. */
const forViewers: readonly string[] = ["IssueTicket"];

function* viewersChanges(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts)) {
    const option = accessOption(method);
    const isOpen = option?.least === Role.VIEWER && option.tickets.length === 0;
    if (isOpen && !isReading(method) && !forViewers.includes(method.name))
      yield [nameOf(method), "changes something, and a viewer without a ticket may call it"];
  }
}

/** Methods whose request names a session that need not be the caller's. */
const namingSessions: readonly string[] = ["IssueTicket", "DeleteReplayRunner"];

function* bareSessions(contracts: Contracts): Generator<Found> {
  for (const method of methodsOf(contracts))
    if (fieldOf(method.input, "session_id") !== undefined && !namingSessions.includes(method.name))
      yield [nameOf(method), "acts for a session_id; a session is proved by its ticket"];
}

/** Messages that a request can hold, at any depth. */
function requestMessages(contracts: Contracts): DescMessage[] {
  const seen = new Map<string, DescMessage>();
  const visit = (message: DescMessage): void => {
    if (seen.has(message.typeName) || !message.typeName.startsWith("qmtl.")) return;
    seen.set(message.typeName, message);
    for (const { message: inner } of message.fields) if (inner !== undefined) visit(inner);
  };
  for (const { input } of methodsOf(contracts)) visit(input);
  return [...seen.values()].sort((a, b) => (a.typeName < b.typeName ? -1 : 1));
}

function enumRulesOf(field: DescField): EnumRules | undefined {
  if (!hasOption(field, fieldRules)) return undefined;
  let { type } = getOption(field, fieldRules);
  if (type.case === "repeated") type = type.value.items?.type ?? { case: undefined };
  else if (type.case === "map") type = type.value.values?.type ?? { case: undefined };
  return type.case === "enum" ? type.value : undefined;
}

const isOutputOnly = (field: DescField): boolean =>
  getOption(field, field_behavior).includes(FieldBehavior.OUTPUT_ONLY);

function* closedEnums(contracts: Contracts): Generator<Found> {
  for (const { typeName, fields } of requestMessages(contracts))
    for (const field of fields)
      if (field.enum !== undefined && !isOutputOnly(field) && !enumRulesOf(field)?.definedOnly)
        yield [`${typeName}.${field.name}`, "is an enum of a request and not defined_only"];
}

/** Requests below this are not scanned before they are decoded: a smaller bound of `max_text_bytes` would not hold. */
const SCANNED_BYTES_MIN = 32 * 1024;

/** Columns of bulk data: one value per row, and the record states its rows; its bytes are bounded as a whole. */
const bulkColumns = /^qmtl\.data\.v1\.(Rows|DictionaryColumn)\./;

/** A pattern that a text of any length may match. */
const isOpenPattern = (pattern: string): boolean =>
  !/^\^.*\$$/.test(pattern) || /[*+]|\{\d+,\}/.test(pattern);

/** Whether rules say how long a text, or bytes, may be. */
function isBounded(rules: FieldRules | undefined): boolean {
  const type = rules?.type;
  if (type?.case === "bytes") return type.value.maxLen > 0n || type.value.len > 0n;
  if (type?.case !== "string") return false;
  const { maxLen, maxBytes, len, lenBytes, pattern } = type.value;
  const isCounted = [maxLen, maxBytes, len, lenBytes].some((most) => most > 0n);
  return isCounted || type.value.in.length > 0 || (pattern !== "" && !isOpenPattern(pattern));
}

/** What a field holds as text or bytes: the rules of each such part, which for a map are its keys and its values. */
function textRules(field: DescField): readonly (FieldRules | undefined)[] {
  const isScanned = getOption(field, max_text_bytes) >= SCANNED_BYTES_MIN;
  if (isScanned && field.scalar === ScalarType.STRING && field.fieldKind === "scalar") return [];
  const own = hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined;
  const isText = (scalar: ScalarType | undefined): boolean =>
    scalar === ScalarType.STRING || scalar === ScalarType.BYTES;
  if (field.fieldKind === "map") {
    const inside = own?.type.case === "map" ? own.type.value : undefined;
    return [
      ...(isText(field.mapKey) ? [inside?.keys] : []),
      ...(isText(field.scalar) ? [inside?.values] : []),
    ];
  }
  if (!isText(field.scalar)) return [];
  if (field.fieldKind !== "list") return [own];
  return [own?.type.case === "repeated" ? own.type.value.items : undefined];
}

function* boundedTexts(contracts: Contracts): Generator<Found> {
  for (const { typeName, fields } of requestMessages(contracts))
    for (const field of fields) {
      const where = `${typeName}.${field.name}`;
      const isOpen = textRules(field).some((rules) => !isBounded(rules));
      if (isOpen && !isOutputOnly(field) && !bulkColumns.test(where))
        yield [
          where,
          "is a text of a request of any length: say max_len (of items, keys, values), or max_text_bytes of 32768 or more",
        ];
    }
}

/** Times are numbers only in records, in columns of bulk data, and where they are hashed. */
function mayBeNumber(message: DescMessage, field: DescField): boolean {
  return (
    message.typeName.startsWith("qmtl.data.v1.") ||
    field.name === "interval_seconds" ||
    field.fieldKind === "list"
  );
}

function* timeTypes(contracts: Contracts): Generator<Found> {
  for (const message of requestMessages(contracts))
    for (const field of message.fields)
      if (/_(ms|seconds)$/.test(field.name) && !mayBeNumber(message, field))
        yield [
          `${message.typeName}.${field.name}`,
          "is a time as a number, not Timestamp or Duration",
        ];
}

/** Rows of the table under the heading `| method | role | ticket |` of a comment, by method. */
function tableOf(comment: string): Map<string, readonly string[]> {
  const rows = new Map<string, readonly string[]>();
  let isInside = false;
  for (const line of comment.split("\n")) {
    const cells = line.trim().split("|").slice(1, -1);
    const [name = "", ...rest] = cells.map((cell) => cell.trim());
    if (name === "method") isInside = true;
    else if (cells.length === 0) isInside = false;
    else if (isInside && !name.startsWith("---")) rows.set(name, rest);
  }
  return rows;
}

const wordsOf = (text: string, pattern: RegExp): string =>
  (text.match(pattern) ?? []).sort().join(" ");

function* accessTables({ services }: Contracts): Generator<Found> {
  // Without "owner": an owner may call everything, so a row that names one describes a field.
  const roleWord = /viewer|researcher|operator|adapter|gateway/g;
  for (const service of services) {
    const table = tableOf(commentOf(service));
    const methods = new Set(service.methods.map(({ name }) => name));
    const odd = [...new Set([...methods, ...table.keys()])].filter(
      (name) => !methods.has(name) || !table.has(name),
    );
    if (odd.length > 0) {
      const what =
        table.size === 0
          ? "has no table of its methods"
          : `its table is not right about ${odd.join(", ")}`;
      yield [service.typeName, what];
    }
    for (const method of service.methods) {
      const [roles = "", ticket = ""] = table.get(method.name) ?? [];
      const option = accessOption(method);
      if (!table.has(method.name) || option === undefined) continue;
      const named = [option.least, ...option.also, option.exempt];
      const meant = named.filter((role) => role !== Role.UNSPECIFIED && role !== Role.OWNER);
      const roleNames = [...new Set(meant.map(roleName))].sort().join(" ");
      if ([...new Set(wordsOf(roles, roleWord).split(" "))].join(" ") !== roleNames)
        yield [nameOf(method), `its row says "${roles}", (access) says ${roleNames}`];
      const rights = option.tickets.map(rightName).sort().join(" ");
      const said = /\bany\b/.test(ticket) ? "observe" : wordsOf(ticket, /compute|trade|feed/g);
      if (said !== rights)
        yield [
          nameOf(method),
          `its row says ticket "${ticket}", (access) says ${rights || "none"}`,
        ];
    }
  }
}
