import type { DescMethod } from "@bufbuild/protobuf";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { accessOf } from "@qmtl/service-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, keyRoles, startKeyedPlatform } from "./testing/keyed-platform.ts";

const isInternal = (method: DescMethod) => accessOf(method).isInternal;
const methods = gatewayContracts.flatMap((service) =>
  service.methods.filter((each) => !isInternal(each)).map((each) => [each] as const),
);
let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

/** Reason of the refusal of an empty request; undefined when it was answered. */
async function reasonFor(
  caller: Parameters<KeyedPlatform["call"]>[0],
  method: DescMethod,
): Promise<string | undefined> {
  return (await platform.call(caller, method)).refusal?.reason;
}

describe.each(methods)("$parent.name.$name", (method) => {
  test("is refused to each role that its contract does not name, and to no other", async () => {
    const access = accessOf(method);
    const refused: string[] = [];
    for (const role of keyRoles) {
      if ((await reasonFor(role, method)) === "ROLE_REQUIRED") refused.push(role);
    }

    expect(refused).toEqual(keyRoles.filter((role) => !access.roles.has(role)));
  });

  test("is refused without a key and with a wrong one", async () => {
    expect(await reasonFor("none", method)).toBe("PRINCIPAL_UNKNOWN");
    expect(await reasonFor("wrong", method)).toBe("PRINCIPAL_UNKNOWN");
  });
});

test.each([DiffService, SubscriptionService, ...gatewayContracts])(
  "internal methods of $name are not served at the gateway, whoever asks",
  async (service) => {
    for (const method of service.methods.filter(isInternal)) {
      for (const caller of ["owner", "viewer", "none"] as const)
        expect(await reasonFor(caller, method)).toBe("METHOD_NOT_SERVED");
    }
  },
);
