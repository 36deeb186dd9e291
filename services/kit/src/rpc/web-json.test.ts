import { ConnectError } from "@connectrpc/connect";
import { endStreamFromJson, errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serve } from "../handlers.ts";
import { openWebDoor } from "../web-door.ts";
import type { Door } from "./door.ts";

let door: Door;
let calls = 0;
beforeAll(async () => {
  const counted = async () => {
    calls += 1;
    return {};
  };
  door = await openWebDoor({
    services: [
      serve(GatewayService, { getSubmission: counted }),
      serve(WorldService, { createWorld: counted }),
    ],
  });
});
afterAll(() => door.close());

async function post(method: string, body: unknown) {
  const answer = await fetch(`http://127.0.0.1:${door.port}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const error = errorFromJsonBytes(await answer.bytes(), undefined, new ConnectError("none"));
  const { reason, fields } = qmtlErrorFrom(error);
  return { status: answer.status, message: error.rawMessage, reason, fields };
}

test("a misspelt field of a JSON request is refused by its name, and nothing is called", async () => {
  const answer = await post("qmtl.gateway.v1.GatewayService/GetSubmission", {
    submissionId: "a",
    submisionId: "b",
  });

  expect(answer.status).toBe(400);
  expect(answer.message).toContain('"submisionId" is unknown');
  expect(answer).toMatchObject({ reason: "INVALID_FIELD", fields: [{ field: "submisionId" }] });
  expect(calls).toBe(0);
});

test("a misspelt enum name of a JSON request is refused, not dropped", async () => {
  const answer = await post("qmtl.world.v1.WorldService/CreateWorld", {
    world: { worldId: "w", clock: "WORLD_CLOCK_REPLEY" },
  });

  expect(answer.status).toBe(400);
  expect(answer.message).toContain("WORLD_CLOCK_REPLEY");
  expect(answer).toMatchObject({ reason: "INVALID_FIELD", fields: [{ field: "world.clock" }] });
  expect(calls).toBe(0);
});

test("a misspelt field of a JSON stream is refused with a reason, too", async () => {
  const body = Buffer.from(JSON.stringify({ submisionId: "b" }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const answer = await fetch(
    `http://127.0.0.1:${door.port}/qmtl.gateway.v1.GatewayService/WatchSubmission`,
    {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: Buffer.concat([head, body]),
    },
  );
  const envelope = await answer.bytes();

  const { error } = endStreamFromJson(envelope.subarray(5));
  expect(qmtlErrorFrom(error)).toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "submisionId" }],
  });
});
