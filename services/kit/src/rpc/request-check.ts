import {
  create,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { SchemaVersionSchema } from "@qmtl/contracts/qmtl/type/v1/schema_version_pb";
import { negotiate, QmtlError, type StatedRange, statedRange } from "@qmtl/sdk/rpc";
import { type CallPrincipal, EncodedMessage } from "../handlers.ts";
import type { SessionScope } from "../session-scope.ts";
import { checkSession } from "./call-access.ts";
import { checkMarks, withoutLaterFields } from "./contract-marks.ts";
import { checkRequestSize } from "./request-size.ts";
import type { Answer, ServedMethod } from "./served-method.ts";
import type { ServerSetup } from "./server-setup.ts";
import { checkStorable } from "./storable-values.ts";

const patterns = new Map<string, RegExp>();

/** The patterns are those of our own contracts, few and simple; JavaScript's own matcher is a hundred times faster. */
function matches(pattern: string, text: string): boolean {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    compiled = new RegExp(pattern, "u");
    patterns.set(pattern, compiled);
  }
  return compiled.test(text);
}

const validator = createValidator({ regexMatch: matches });

/**
 * Compiles the rules of the methods ahead of the first calls, one method per turn of the event loop: those of a
 * submission take longer to compile than to check.
 */
export function compileRules(methods: readonly ServedMethod[]): void {
  const inputs = methods.map(({ desc }) => desc.input);
  const compileNext = () => {
    const desc = inputs.shift();
    if (desc === undefined) return;
    validator.validate(desc, create(desc));
    setImmediate(compileNext).unref();
  };
  setImmediate(compileNext).unref();
}

/**
 * Decodes a request.
 *
 * @throws {QmtlError} INVALID_FIELD when the bytes are no such message, or one that holds too much.
 */
export function decodeRequest(method: ServedMethod, bytes: Uint8Array): Message {
  checkRequestSize(method.desc.input, bytes);
  try {
    return fromBinary(method.desc.input, bytes);
  } catch (cause) {
    const name = method.desc.input.typeName;
    throw new QmtlError("INVALID_FIELD", `the request is not a ${name}`, { cause });
  }
}

/** What the server has established about a call before its handler runs. */
export interface CheckedCall {
  readonly principal: CallPrincipal;
  /** Session of the ticket; undefined for a call without one. */
  readonly session: SessionScope | undefined;
  /** Schema version the answer is written in. */
  readonly version: number;
}

/**
 * Agrees on the schema version, then checks the marks and the rules of the contract, then the ticket. The role was
 * checked before the request was decoded.
 *
 * @throws {QmtlError} SCHEMA_VERSION_UNSUPPORTED; FEATURE_NOT_BUILT naming what is planned; INVALID_FIELD with one
 * violation per field that breaks a rule; TICKET_INVALID, TICKET_EXPIRED, TICKET_SCOPE.
 */
export function checkCall(
  setup: Pick<ServerSetup, "checkTicket">,
  method: ServedMethod,
  request: Message,
  principal: CallPrincipal,
): CheckedCall {
  const stated = method.requestIsVersioned ? statedRangeOf(request) : undefined;
  const asked = statedRange(stated);
  const version = method.isRelayed ? asked.max : negotiate(stated, method.range);
  checkMarks(method.requestMarks, request, asked.max);
  checkStorable(method.desc.input, request);
  checkRules(method.desc.input, request);
  const session = checkSession(method.access, request, principal, setup.checkTicket);
  return { principal, session, version };
}

/** Field 1 is a VersionRange: `requestIsVersioned` looked at the descriptor. Absent means unset. */
function statedRangeOf(request: Message): StatedRange | undefined {
  return "schemaVersion" in request
    ? (request.schemaVersion as StatedRange | undefined)
    : undefined;
}

function checkRules(desc: DescMessage, request: Message): void {
  const result = validator.validate(desc, request);
  if (result.kind === "valid") return;
  if (result.kind === "error") throw result.error;
  const descriptions = new Map<string, string[]>();
  for (const { field, message } of result.violations) {
    const path = pathToString(field);
    descriptions.set(path, [...(descriptions.get(path) ?? []), message]);
  }
  const fields = [...descriptions].map(([field, all]) => ({ field, description: all.join("; ") }));
  const named = fields.map(({ field, description }) => `${field}: ${description}`).join("; ");
  throw new QmtlError("INVALID_FIELD", named, { fields });
}

/** An answer as a message, with the schema version filled in unless the handler did so (a proxy). */
export function answerMessage(
  method: ServedMethod,
  answer: Answer | EncodedMessage,
  version: number,
): MessageShape<DescMessage> {
  const { desc, range } = method;
  if (answer instanceof EncodedMessage) return fromBinary(desc.output, answer.bytes);
  const isFilled = "schemaVersion" in answer && answer.schemaVersion !== undefined;
  if (!method.answerIsVersioned || isFilled) return create(desc.output, answer);
  const schemaVersion = create(SchemaVersionSchema, { version, supported: range });
  // A copy: the handler may hand out one message to many callers.
  const message = create(desc.output, Object.assign({}, answer, { schemaVersion }));
  return version < range.max ? withoutLaterFields(desc.output, message, version) : message;
}

/** An answer as bytes; those of an EncodedMessage are passed through untouched. */
export function answerBytes(
  method: ServedMethod,
  answer: Answer | EncodedMessage,
  version: number,
): Buffer {
  if (answer instanceof EncodedMessage) return answer.bytes;
  const bytes = toBinary(method.desc.output, answerMessage(method, answer, version));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
