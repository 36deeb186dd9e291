import type { DescMessage, Message } from "@bufbuild/protobuf";
import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";

/** Name of the field that names the missing thing, in the request and in the metadata of the refusal, by reason. */
const FIELD_OF_REASON: Readonly<Partial<Record<ReasonName, string>>> = {
  WORLD_NOT_FOUND: "world_id",
  STRATEGY_NOT_FOUND: "strategy_id",
  ACTIVATION_NOT_FOUND: "strategy_id",
  BINDING_NOT_FOUND: "strategy_id",
  ACCOUNT_NOT_FOUND: "account_id",
  ORDER_NOT_FOUND: "order_id",
  SUBMISSION_NOT_FOUND: "submission_id",
  EVALUATION_NOT_FOUND: "evaluation_id",
  RUN_NOT_FOUND: "run_id",
  SOURCE_NOT_FOUND: "source",
};

/**
 * The failure as it came; but when a thing does not exist, with the field of the request that named it, unless the
 * handler named that itself. Fields named by a service behind this one are of the request made there, and are dropped:
 * the caller could not use them.
 */
export function withFieldNamed(failure: unknown, desc: DescMessage, request: Message): unknown {
  if (!(failure instanceof QmtlError)) return failure;
  const name = FIELD_OF_REASON[failure.reason];
  if (name === undefined) return failure;
  const own = failure.fields.filter(({ field }) => isFieldOf(desc, field));
  if (own.length > 0) return failure;
  // The metadata of a strategy that does not exist may name the one that was meant.
  const known = name === "strategy_id" ? undefined : failure.metadata[name];
  const field = pathTo({ name, value: known }, desc, request);
  if (field === undefined && failure.fields.length === 0) return failure;
  const { message, reason, code, metadata, retryAfterMs } = failure;
  return new QmtlError(reason, message, {
    fields: field === undefined ? [] : [{ field, description: message }],
    code,
    metadata,
    cause: failure,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function isFieldOf(desc: DescMessage, path: string): boolean {
  const [first] = path.split(/[.[]/, 1);
  return desc.fields.some(({ name }) => name === first);
}

interface Wanted {
  readonly name: string;
  /** Which thing is missing; undefined where that is not known. */
  readonly value: string | undefined;
}

/** Path of a set field of this name and value, or of the element of a list of such; the outermost one. */
function pathTo(wanted: Wanted, desc: DescMessage, message: object, depth = 0): string | undefined {
  const { name, value } = wanted;
  for (const field of desc.fields) {
    const set = memberOf(message, field.localName);
    if (field.name === name && typeof set === "string" && set !== "") {
      if (value === undefined || set === value) return name;
    }
    if (field.name === `${name}s` && Array.isArray(set) && value !== undefined) {
      const index = set.indexOf(value);
      if (index >= 0) return `${field.name}[${index}]`;
    }
  }
  if (depth > 1) return undefined;
  for (const field of desc.fields) {
    if (field.fieldKind !== "message" || !field.message.typeName.startsWith("qmtl.")) continue;
    const inner = memberOf(message, field.localName);
    if (typeof inner !== "object" || inner === null) continue;
    const path = pathTo(wanted, field.message, inner, depth + 1);
    if (path !== undefined) return `${field.name}.${path}`;
  }
  return undefined;
}

const memberOf = (message: object, name: string): unknown => Reflect.get(message, name);
