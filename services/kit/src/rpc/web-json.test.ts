import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
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

async function post(method: string, body: unknown): Promise<{ status: number; message: string }> {
  const answer = await fetch(`http://127.0.0.1:${door.port}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const { message } = (await answer.json()) as { message: string };
  return { status: answer.status, message };
}

test("a misspelt field of a JSON request is refused by its name, and nothing is called", async () => {
  const answer = await post("qmtl.gateway.v1.GatewayService/GetSubmission", {
    submissionId: "a",
    submisionId: "b",
  });

  expect(answer.status).toBe(400);
  expect(answer.message).toContain('"submisionId" is unknown');
  expect(calls).toBe(0);
});

test("a misspelt enum name of a JSON request is refused, not dropped", async () => {
  const answer = await post("qmtl.world.v1.WorldService/CreateWorld", {
    world: { worldId: "w", clock: "WORLD_CLOCK_REPLEY" },
  });

  expect(answer.status).toBe(400);
  expect(answer.message).toContain("WORLD_CLOCK_REPLEY");
  expect(calls).toBe(0);
});
