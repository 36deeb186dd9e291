import { expect, test } from "vitest";
import { createPrincipalCheck } from "./principal.ts";
import { PrincipalSigner, signatureReuseMsMax } from "./principal-signer.ts";
import { ManualClock } from "./testing/manual-clock.ts";

const key = { gatewayId: "gw-1", secret: Buffer.alloc(32, 7) };
const ann = { name: "ann", role: "operator" } as const;

/** The principal that a service accepts for a header. */
function believed(header: string, clock: ManualClock) {
  const check = createPrincipalCheck({ gateways: [key], signedOnly: true, clock });
  return check({ header: () => header, isLoopback: false });
}

test("calls of one principal share a signature for ten seconds, and others have their own", () => {
  const clock = new ManualClock();
  const signer = new PrincipalSigner(key, clock);
  const first = signer.sign(ann);
  expect(signer.sign({ ...ann })).toBe(first);
  expect(signer.sign({ ...ann, role: "viewer" })).not.toBe(first);
  clock.advance(signatureReuseMsMax - 1);
  expect(signer.sign(ann)).toBe(first);
  clock.advance(1);
  const second = signer.sign(ann);
  expect(second).not.toBe(first);
  expect(believed(second, clock)).toEqual(ann);
});

test("a signature used for the last time is still good for most of its life", () => {
  const clock = new ManualClock();
  const signer = new PrincipalSigner(key, clock);
  signer.sign(ann);
  clock.advance(signatureReuseMsMax - 1);
  const header = signer.sign(ann);
  clock.advance(40_000);
  expect(believed(header, clock)).toEqual(ann);
});
