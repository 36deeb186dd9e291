import { QmtlError } from "@qmtl/sdk/errors";
import { expect, test } from "vitest";
import { namingGateway, peerHint } from "./no-answer.ts";

const silent = (message: string) => new QmtlError("PEER_UNAVAILABLE", message);
const gateway = "http://127.0.0.1:7400";

test("a gateway that does not answer is named once, with why", () => {
  const told = namingGateway(
    silent("nothing answers at 127.0.0.1:7400 (connection refused)"),
    gateway,
  );

  expect(told).toMatchObject({
    message: `the gateway at ${gateway} does not answer: connection refused`,
    hint: expect.stringContaining("qmtl up"),
    exitCode: 3,
    reason: "PEER_UNAVAILABLE",
  });
});

test.each(["there is no such host: nohost.invalid", "what listens there does not speak gRPC"])(
  "an address that is no gateway's is told as that: %s",
  (words) => {
    expect(namingGateway(silent(words), gateway)).toMatchObject({
      message: `the gateway at ${gateway} does not answer: ${words}`,
    });
  },
);

test("a service that the gateway does not reach is not taken for the gateway", () => {
  const failure = new QmtlError(
    "PEER_UNAVAILABLE",
    "world-service does not answer: nothing answers at 127.0.0.1:7420 (connection refused)",
    { metadata: { peer: "world-service" } },
  );

  expect(namingGateway(failure, gateway)).toBe(failure);
});

test("each service behind the gateway is started by its own command", () => {
  expect(peerHint("world-service")).toContain("`qmtl service world-service`");
  expect(peerHint("dag-manager")).toContain("`qmtl service dag-manager`");
  expect(peerHint("event bus")).toContain("qmtl doctor");
});

test("other failures stay as they are", () => {
  const refusal = new QmtlError("WORLD_NOT_FOUND", "there is no world x");
  const silence = new QmtlError("PEER_UNAVAILABLE", "no answer within 5000 ms");

  expect(namingGateway(refusal, gateway)).toBe(refusal);
  expect(namingGateway(silence, gateway)).toBe(silence);
});
