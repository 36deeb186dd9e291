import type { DescField, DescMessage, DescMethod, JsonValue } from "@bufbuild/protobuf";
import { accessOf } from "@qmtl/service-kit";

const callers = ["owner", "adapter"] as const;

/** The fields on the way from a request to an enum in it. */
export type Path = readonly DescField[];

/** Every enum of a message, and of the messages in it; no message is entered twice on one path. */
export function enumsOf(message: DescMessage, above: Path = []): Path[] {
  return message.fields.flatMap((field): Path[] => {
    const path = [...above, field];
    if (field.enum !== undefined) return [path];
    const inner = field.message;
    const isKnown = inner === undefined || above.some((each) => each.message === inner);
    return isKnown || inner.typeName.startsWith("google.") ? [] : enumsOf(inner, path);
  });
}

/** JSON of a request in which the enum at the end of the path has a value, and nothing else is set. */
export function requestWith(path: Path, value: JsonValue): JsonValue {
  return path.reduceRight<JsonValue>((inner, field) => {
    const held =
      field.fieldKind === "list" ? [inner] : field.fieldKind === "map" ? { a: inner } : inner;
    return { [field.jsonName]: held };
  }, value);
}

/** Path of the enum as a refusal names it, without places in lists and maps. */
export const nameOf = (path: Path): string => path.map(({ name }) => name).join(".");
/** Path of a violation without the places in lists and maps. */
export const plain = (field: string): string => field.replaceAll(/\[[^\]]*\]/g, "");

/** A role that may call the method; undefined when only gateways may, or it is not served here. */
export const callerOf = (method: DescMethod) => {
  const { roles, isInternal } = accessOf(method);
  return isInternal ? undefined : callers.find((role) => roles.has(role));
};
