import type { DescField, DescMessage, DescMethod, JsonValue } from "@bufbuild/protobuf";
import { accessOf } from "@qmtl/service-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";

const callers = ["owner", "adapter"] as const;
let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

/** The fields on the way from a request to an enum in it. */
type Path = readonly DescField[];

/** Every enum of a message, also of the messages in it; no message is entered twice on one way. */
function enumsOf(message: DescMessage, above: Path = []): Path[] {
  return message.fields.flatMap((field): Path[] => {
    const path = [...above, field];
    if (field.enum !== undefined) return [path];
    const inner = field.message;
    const isKnown = inner === undefined || above.some((each) => each.message === inner);
    return isKnown || inner.typeName.startsWith("google.") ? [] : enumsOf(inner, path);
  });
}

/** JSON of a request in which the enum at the end of the path has a value, and nothing else is set. */
function requestWith(path: Path, value: JsonValue): JsonValue {
  return path.reduceRight<JsonValue>((inner, field) => {
    const held =
      field.fieldKind === "list" ? [inner] : field.fieldKind === "map" ? { a: inner } : inner;
    return { [field.jsonName]: held };
  }, value);
}

const nameOf = (path: Path): string => path.map(({ name }) => name).join(".");
/** Path of a violation without the places in lists and maps. */
const plain = (field: string): string => field.replaceAll(/\[[^\]]*\]/g, "");

/** Who may call it; undefined for what gateways alone may, or is not served here. */
const callerOf = (method: DescMethod) => {
  const { roles, isInternal } = accessOf(method);
  return isInternal ? undefined : callers.find((role) => roles.has(role));
};

const cases = gatewayContracts.flatMap((service) =>
  service.methods.flatMap((method) => {
    const caller = callerOf(method);
    if (caller === undefined) return [];
    return enumsOf(method.input).map((path) => {
      return [`${service.name}.${method.name}`, nameOf(path), { method, path, caller }] as const;
    });
  }),
);

test.each(cases)("%s refuses number 99 in %s and names the field", async (_method, name, each) => {
  const { method, path, caller } = each;
  const outcome = await platform.call(caller, method, requestWith(path, 99));

  const { reason, fields = [] } = outcome.refusal ?? {};
  if (reason === "FEATURE_NOT_BUILT") return;
  expect(outcome).toMatchObject({ refusal: { reason: "INVALID_FIELD" } });
  expect(fields.map(({ field }) => plain(field))).toContain(name);
});

test.each(cases)("%s refuses a misspelt JSON name in %s", async (_method, _name, each) => {
  const { method, path, caller } = each;
  const body = Buffer.from(JSON.stringify(requestWith(path, "NO_SUCH_NAME")));
  const isUnary = method.methodKind === "unary";
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const url = `${platform.web}/${method.parent.typeName}/${method.name}`;
  const response = await fetch(url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${platform.keyOf(caller)}`,
      "content-type": isUnary ? "application/json" : "application/connect+json",
      "connect-protocol-version": "1",
    },
    body: isUnary ? body : Buffer.concat([head, body]),
  });

  expect(await response.text()).toContain('"code":"invalid_argument"');
});
