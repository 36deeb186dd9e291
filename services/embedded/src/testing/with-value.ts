import type { DescField, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { minimalRequest, type Names } from "@qmtl/service-kit/testing";

/** A field of a request, preceded by the fields that contain it. */
export type Path = readonly DescField[];

/** The message with a value at the end of the path; messages on the way are as small as their rules allow. */
export function withValue(
  message: JsonObject,
  [field, ...rest]: Path,
  value: JsonValue,
  there: Names = {},
): JsonObject {
  if (field === undefined) return message;
  const others = new Set(field.oneof?.fields.map(({ jsonName }) => jsonName));
  const kept = Object.fromEntries(Object.entries(message).filter(([name]) => !others.has(name)));
  const inner = (): JsonObject => {
    const known = [message[field.jsonName]].flat()[0];
    const isObject = typeof known === "object" && known !== null && !Array.isArray(known);
    return isObject ? known : minimalRequest(field.message!, there);
  };
  const own = rest.length === 0 ? value : withValue(inner(), rest, value, there);
  return { ...kept, [field.jsonName]: field.fieldKind === "list" ? [own] : own };
}
