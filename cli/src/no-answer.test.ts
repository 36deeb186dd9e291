import { QmtlError } from "@qmtl/sdk/errors";
import { expect, test } from "vitest";
import { namingGateway } from "./no-answer.ts";

/** What the channel says when nobody listens at an address. */
const silent = (address: string) =>
  new QmtlError(
    "PEER_UNAVAILABLE",
    `round_robin: No connection established. Last error: No connection established. Last error: Error: connect ECONNREFUSED ${address}. Resolution note: `,
  );
const gateway = "http://127.0.0.1:7400";

test("a gateway that does not answer is named, in the system's own words once", () => {
  const told = namingGateway(silent("127.0.0.1:7400"), gateway);

  expect(told).toMatchObject({
    message: `the gateway at ${gateway} does not answer: connect ECONNREFUSED 127.0.0.1:7400`,
    hint: expect.stringContaining("qmtl up"),
    exitCode: 3,
    reason: "PEER_UNAVAILABLE",
  });
});

test("a host that does not exist is told as that", () => {
  const failure = new QmtlError(
    "PEER_UNAVAILABLE",
    "Name resolution failed for target dns:nohost.invalid:80",
  );

  expect(namingGateway(failure, "http://nohost.invalid")).toMatchObject({
    message: "the gateway at http://nohost.invalid does not answer: there is no such host",
  });
});

test("somebody else at the gateway's port is told as that", () => {
  const failure = new QmtlError(
    "PEER_UNAVAILABLE",
    "round_robin: No connection established. Last error: No connection established. Last error: Protocol error (2026-11-23T06:26:18.996Z). Resolution note: ",
  );

  expect(namingGateway(failure, gateway)).toMatchObject({
    message: `the gateway at ${gateway} does not answer: what listens there does not speak gRPC`,
  });
});

test("a service that the gateway does not reach is not taken for the gateway", () => {
  expect(namingGateway(silent("127.0.0.1:7420"), gateway)).toMatchObject({
    message: `the gateway at ${gateway} does not reach a service behind it: connect ECONNREFUSED 127.0.0.1:7420`,
    hint: expect.stringContaining("start that service"),
  });
});

test("other failures stay as they are", () => {
  const refusal = new QmtlError("WORLD_NOT_FOUND", "there is no world x");
  const silence = new QmtlError("PEER_UNAVAILABLE", "no answer within 5000 ms");

  expect(namingGateway(refusal, gateway)).toBe(refusal);
  expect(namingGateway(silence, gateway)).toBe(silence);
});
