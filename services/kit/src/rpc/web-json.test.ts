import { gzipSync } from "node:zlib";
import { ConnectError } from "@connectrpc/connect";
import { endStreamFromJson, errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { qmtlErrorFrom } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serve } from "../handlers.ts";
import { openHttpServer } from "../http-server.ts";
import type { OpenServer } from "./server-setup.ts";

let server: OpenServer;
let calls = 0;
beforeAll(async () => {
  const counted = async () => {
    calls += 1;
    return {};
  };
  server = await openHttpServer({
    services: [
      serve(GatewayService, { getSubmission: counted, submitStrategy: counted }),
      serve(WorldService, { createWorld: counted }),
      serve(OrderService, { setTargets: counted, halt: counted }),
    ],
  });
});
afterAll(() => server.close());

const post = (method: string, body: unknown) => postText(method, JSON.stringify(body));

async function postText(method: string, body: string, isGzipped = false) {
  const answer = await fetch(`http://127.0.0.1:${server.port}/${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(isGzipped ? { "content-encoding": "gzip" } : {}),
    },
    body: isGzipped ? new Uint8Array(gzipSync(body)) : body,
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

test("params of a node are bounded in bytes, not characters, also in JSON", async () => {
  const answer = await post("qmtl.gateway.v1.GatewayService/SubmitStrategy", {
    requestId: "r",
    strategyName: "s",
    graph: { nodes: [{ paramsJson: `{"a":"${"界".repeat(30_000)}"}` }] },
  });

  expect(answer.status).toBe(400);
  expect(answer).toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "graph.nodes[0].params_json", description: "is longer than 65536 bytes" }],
  });
  expect(calls).toBe(0);
});

const SET_TARGETS = "qmtl.gateway.v1.OrderService/SetTargets";
const HALT = "qmtl.gateway.v1.OrderService/Halt";
const CREATE_WORLD = "qmtl.world.v1.WorldService/CreateWorld";

test.each([
  ["a nested unknown key", HALT, '{"target":{"worldID":"w"}}', "target.worldID"],
  [
    "an unknown key in a list",
    SET_TARGETS,
    '{"update":{"targets":[{},{"wieght":1}]}}',
    "update.targets[1].wieght",
  ],
  [
    "two members of a oneof",
    SET_TARGETS,
    '{"update":{"targets":[{"weight":1,"quantity":"2"}]}}',
    "update.targets[0].quantity",
  ],
  [
    "a key that is there twice",
    CREATE_WORLD,
    '{"world":{"worldId":"a","worldId":"b"}}',
    "world.world_id",
  ],
  [
    "a field by both its names",
    CREATE_WORLD,
    '{"world":{"worldId":"a","world_id":"b"}}',
    "world.world_id",
  ],
  ["a value of another type", CREATE_WORLD, '{"world":{"allowLive":"yes"}}', "world.allow_live"],
  [
    "a broken duration",
    CREATE_WORLD,
    '{"world":{"paperTimers":{"lease":"x"}}}',
    "world.paper_timers.lease",
  ],
])("%s in JSON is refused with its whole path, packed or not", async (_, method, body, field) => {
  for (const isGzipped of [false, true]) {
    const answer = await postText(method, body, isGzipped);

    expect(answer.status).toBe(400);
    expect(answer).toMatchObject({ reason: "INVALID_FIELD", fields: [{ field }] });
  }
  expect(calls).toBe(0);
});

test("a misspelt field of a JSON stream is refused with a reason, too", async () => {
  const body = Buffer.from(JSON.stringify({ submisionId: "b" }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const answer = await fetch(
    `http://127.0.0.1:${server.port}/qmtl.gateway.v1.GatewayService/WatchSubmission`,
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
