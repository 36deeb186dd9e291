import { type DescEnumValue, getOption } from "@bufbuild/protobuf";
import { planned, planned_value } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { callerOf, enumsOf, nameOf, type Path, plain, requestWith } from "./testing/enum-paths.ts";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, postJson, startKeyedPlatform } from "./testing/keyed-platform.ts";

let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

/** Full name of what is refused: the value, or the first planned field on the way to it. */
function featureOf(path: Path, value: DescEnumValue): { feature: string; field: string } {
  const at = path.findIndex((field) => getOption(field, planned));
  if (at !== -1) {
    const { parent, name } = path[at]!;
    return { feature: `${parent.typeName}.${name}`, field: nameOf(path.slice(0, at + 1)) };
  }
  const scope = value.parent.typeName.slice(0, value.parent.typeName.lastIndexOf("."));
  return { feature: `${scope}.${value.name}`, field: nameOf(path) };
}

const cases = gatewayContracts.flatMap((service) =>
  service.methods.flatMap((method) => {
    const caller = callerOf(method);
    if (caller === undefined) return [];
    return enumsOf(method.input).flatMap((path) => {
      const values = path.at(-1)?.enum?.values.filter((each) => getOption(each, planned_value));
      return (values ?? []).map((value) => {
        const title = `${service.name}.${method.name}`;
        return [title, value.name, nameOf(path), { method, path, value, caller }] as const;
      });
    });
  }),
);

test("the shadow mode and domain are among them, of an apply, of returns and of a claim on orders", () => {
  const titles = cases.map(([method, value, field]) => `${method} ${value} ${field}`);
  expect(titles).toEqual(
    expect.arrayContaining([
      "ActivationService.Apply EFFECTIVE_MODE_SHADOW target_mode",
      "DecisionService.ReportReturns EXECUTION_DOMAIN_SHADOW returns.series.domain",
      "OrderService.SubmitOrders EXECUTION_DOMAIN_SHADOW claim.domain",
      "WorldService.UpsertWorldNode EXECUTION_DOMAIN_SHADOW node.execution_domain",
    ]),
  );
});

test.each(cases)(
  "%s refuses %s in %s by its name, in both servers",
  async (_method, _value, _field, each) => {
    const { method, path, value, caller } = each;
    const { feature, field } = featureOf(path, value);
    const request = requestWith(path, value.name);

    const { refusal } = await platform.call(caller, method, request);
    const response = await postJson(platform, caller, method, request);

    expect(refusal).toMatchObject({ reason: "FEATURE_NOT_BUILT", metadata: { feature } });
    expect(refusal?.fields.map((one) => plain(one.field))).toEqual([field]);
    const text = await response.text();
    expect(text).toContain('"code":"unimplemented"');
    expect(text).toContain(`${feature} is planned`);
  },
);
