import type { DescMessage, Message } from "@bufbuild/protobuf";
import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";

/** What the fields are called that name a thing, and under which key a refusal says which thing is not there. */
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
 * A failure as it came; of a thing that is not there, with the field of the request that named it, unless the handler said so
 * itself. The field is one of the request, or of a message in it.
 */
export function namingField(failure: unknown, desc: DescMessage, request: Message): unknown {
  if (!(failure instanceof QmtlError) || failure.fields.length > 0) return failure;
  const name = FIELD_OF_REASON[failure.reason];
  if (name === undefined) return failure;
  // The metadata of a strategy that is not there may name the one that was meant.
  const known = name === "strategy_id" ? undefined : failure.metadata[name];
  const field = pathTo(name, known, desc, request);
  if (field === undefined) return failure;
  const { message, reason, code, metadata, retryAfterMs } = failure;
  return new QmtlError(reason, message, {
    fields: [{ field, description: message }],
    code,
    metadata,
    cause: failure,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** Path of a set field of this name, and of this value where that is known; the outermost one. */
function pathTo(
  name: string,
  value: string | undefined,
  desc: DescMessage,
  message: object,
  depth = 0,
): string | undefined {
  const own = desc.fields.find((field) => field.name === name);
  const set = own === undefined ? undefined : memberOf(message, own.localName);
  if (typeof set === "string" && set !== "" && (value === undefined || set === value)) return name;
  if (depth > 1) return undefined;
  for (const field of desc.fields) {
    if (field.fieldKind !== "message" || !field.message.typeName.startsWith("qmtl.")) continue;
    const inner = memberOf(message, field.localName);
    if (typeof inner !== "object" || inner === null) continue;
    const path = pathTo(name, value, field.message, inner, depth + 1);
    if (path !== undefined) return `${field.name}.${path}`;
  }
  return undefined;
}

const memberOf = (message: object, name: string): unknown => Reflect.get(message, name);
