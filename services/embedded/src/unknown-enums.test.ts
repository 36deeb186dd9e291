import { afterAll, beforeAll, expect, test } from "vitest";
import { callerOf, enumsOf, nameOf, plain, requestWith } from "./testing/enum-paths.ts";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, postJson, startKeyedPlatform } from "./testing/keyed-platform.ts";

let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

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
  const response = await postJson(platform, caller, method, requestWith(path, "NO_SUCH_NAME"));

  expect(await response.text()).toContain('"code":"invalid_argument"');
});
