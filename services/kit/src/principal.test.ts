import { QmtlError, type ReasonName } from "@qmtl/sdk/rpc";
import { describe, expect, test } from "vitest";
import { type CallEvidence, createPrincipalCheck, requireRole } from "./principal.ts";
import { PRINCIPAL_HEADER, signPrincipal } from "./principal-signature.ts";
import { ManualClock } from "./testing/manual-clock.ts";

const gateway = { gatewayId: "gw-1", secret: Buffer.alloc(32, 7) };
const operator = { name: "ann", role: "operator" } as const;

function evidence(headers: Record<string, string> = {}, isLoopback = true): CallEvidence {
  return { header: (name) => headers[name], isLoopback };
}

function reasonOf(run: () => unknown): ReasonName | undefined {
  try {
    run();
    return undefined;
  } catch (failure) {
    if (failure instanceof QmtlError) return failure.reason;
    throw failure;
  }
}

describe("without keys", () => {
  const check = createPrincipalCheck();

  test("loopback is the local owner, whatever it claims", () => {
    expect(check(evidence())).toEqual({ name: "local", role: "owner" });
    expect(check(evidence({ authorization: "Bearer x", [PRINCIPAL_HEADER]: "forged" }))).toEqual({
      name: "local",
      role: "owner",
    });
  });

  test("another machine is nobody", () => {
    expect(reasonOf(() => check(evidence({}, false)))).toBe("PRINCIPAL_UNKNOWN");
  });
});

describe("with keys", () => {
  const check = createPrincipalCheck({
    keys: [
      { key: "k-ann", name: "ann", role: "operator" },
      { key: "k-eve", name: "eve", role: "viewer" },
    ],
  });

  test("the key tells who calls, also from loopback", () => {
    expect(check(evidence({ authorization: "Bearer k-ann" }))).toEqual(operator);
    expect(check(evidence({ authorization: "bearer k-eve" }, false))).toEqual({
      name: "eve",
      role: "viewer",
    });
  });

  test.each([undefined, "Bearer k-bob", "Bearer ", "k-ann", "Basic k-ann"])(
    "%s is refused",
    (authorization) => {
      const headers = authorization === undefined ? {} : { authorization };
      expect(reasonOf(() => check(evidence(headers)))).toBe("PRINCIPAL_UNKNOWN");
    },
  );
});

describe("behind a gateway", () => {
  const clock = new ManualClock();
  const check = createPrincipalCheck({ gateways: [gateway], signedOnly: true, clock });
  const sign = (key = gateway) => signPrincipal(operator, key, clock.nowMs());

  test("a principal signed by the gateway is believed, from anywhere", () => {
    expect(check(evidence({ [PRINCIPAL_HEADER]: sign() }, false))).toEqual(operator);
  });

  test("nothing else is, not even loopback", () => {
    expect(reasonOf(() => check(evidence()))).toBe("PRINCIPAL_UNSIGNED");
    expect(reasonOf(() => check(evidence({ authorization: "Bearer k-ann" })))).toBe(
      "PRINCIPAL_UNSIGNED",
    );
    const stranger = { gatewayId: "gw-2", secret: Buffer.alloc(32, 7) };
    expect(reasonOf(() => check(evidence({ [PRINCIPAL_HEADER]: sign(stranger) })))).toBe(
      "PRINCIPAL_UNSIGNED",
    );
    const forger = { gatewayId: "gw-1", secret: Buffer.alloc(32, 8) };
    expect(reasonOf(() => check(evidence({ [PRINCIPAL_HEADER]: sign(forger) })))).toBe(
      "PRINCIPAL_UNSIGNED",
    );
  });

  test("any change of the header breaks it", () => {
    const header = sign();
    for (let i = 0; i < header.length - 1; i += 1) {
      const changed = `${header.slice(0, i)}${header[i] === "A" ? "B" : "A"}${header.slice(i + 1)}`;
      expect(
        reasonOf(() => check(evidence({ [PRINCIPAL_HEADER]: changed }))),
        `at ${i}`,
      ).toBe("PRINCIPAL_UNSIGNED");
    }
  });

  test("it dies after a minute and half a minute of grace for clocks that differ", () => {
    const header = sign();
    const at = (ms: number) => {
      const then = new ManualClock(clock.nowMs() + ms);
      const checkThen = createPrincipalCheck({
        gateways: [gateway],
        signedOnly: true,
        clock: then,
      });
      return reasonOf(() => checkThen(evidence({ [PRINCIPAL_HEADER]: header })));
    };
    expect([at(0), at(60_000), at(90_000), at(90_001)]).toEqual([
      undefined,
      undefined,
      undefined,
      "PRINCIPAL_UNSIGNED",
    ]);
    expect([at(-30_000), at(-30_001)]).toEqual([undefined, "PRINCIPAL_UNSIGNED"]);
  });

  test("a short secret is refused when signing", () => {
    const weak = { gatewayId: "gw-1", secret: Buffer.alloc(31) };
    expect(reasonOf(() => signPrincipal(operator, weak, 0))).toBe("CONFIG_INVALID");
  });
});

test("a role that is missing is named", () => {
  expect(reasonOf(() => requireRole({ principal: operator }, "owner", "operator"))).toBeUndefined();
  expect(reasonOf(() => requireRole({ principal: operator }, "owner"))).toBe("ROLE_REQUIRED");
});
