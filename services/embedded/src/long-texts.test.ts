import { type DescMessage, type DescMethod, getOption, ScalarType } from "@bufbuild/protobuf";
import { FieldBehavior, field_behavior } from "@qmtl/contracts/google/api/field_behavior_pb";
import { accessOf } from "@qmtl/service-kit";
import { minimalRequest } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";
import { type Path, withValue } from "./testing/with-value.ts";

/** Longer than anything that names something. */
const LONG = "x".repeat(300_000);

let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

/**
 * Texts of a request, and lists of texts, wherever they are; each message once, since its rules are the same
 * everywhere.
 */
function textsOf(message: DescMessage, seen: Set<DescMessage>, above: Path = []): Path[] {
  if (seen.has(message) || !message.typeName.startsWith("qmtl.")) return [];
  seen.add(message);
  return message.fields.flatMap((field): Path[] => {
    if (getOption(field, field_behavior).includes(FieldBehavior.OUTPUT_ONLY)) return [];
    const path = [...above, field];
    if (field.fieldKind === "map") return [];
    if (field.message !== undefined) return textsOf(field.message, seen, path);
    return field.scalar === ScalarType.STRING ? [path] : [];
  });
}

test("an id of 200,000 characters was taken and looked for: a text that is too long is refused with its field, in every request", async () => {
  const wrong: string[] = [];
  let checked = 0;
  const seen = new Set<DescMessage>();
  const methods = gatewayContracts.flatMap((service) => service.methods as readonly DescMethod[]);
  for (const method of methods) {
    const { roles } = accessOf(method);
    const caller = (["owner", "adapter"] as const).find((role) => roles.has(role));
    const isOneRequest = ["unary", "server_streaming"].includes(method.methodKind);
    if (caller === undefined || !isOneRequest) continue;
    const minimal = minimalRequest(method.input);
    for (const path of textsOf(method.input, seen)) {
      const last = path.at(-1)!;
      const { refusal } = await platform.call(caller, method, withValue(minimal, path, LONG));
      checked += 1;
      const isNamed = refusal?.fields.some(({ field }) => field.includes(last.name)) === true;
      const isRefused = refusal?.reason === "INVALID_FIELD" && isNamed;
      // What is planned is refused before anything in it is looked at.
      if (isRefused || refusal?.reason === "FEATURE_NOT_BUILT") continue;
      const at = path.map(({ name }) => name).join(".");
      wrong.push(`${method.parent.name}.${method.name} ${at}: ${refusal?.reason ?? "answered"}`);
    }
  }

  expect(wrong).toEqual([]);
  expect(checked).toBeGreaterThan(150);
}, 300_000);
