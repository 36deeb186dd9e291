import type { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import type { OpenServer } from "./server-setup.ts";

const noWorld = (worldId: string) =>
  new QmtlError("WORLD_NOT_FOUND", `there is no world ${worldId}`, {
    metadata: { world_id: worldId },
  });

let server: OpenServer;
let connection: ReturnType<typeof connectTo>;
beforeAll(async () => {
  server = await openGrpcServer({
    services: [
      serve(GatewayService, {
        submitStrategy: async () => {
          const { reason, message, metadata } = noWorld("nowhere");
          const fields = [{ field: "world_id", description: message }];
          throw new QmtlError(reason, message, { metadata, fields });
        },
      }),
      serve(ActivationService, { freeze: async () => ({}) }),
      serve(WorldService, {
        getWorld: async ({ worldId }) => {
          throw noWorld(worldId);
        },
        updateWorld: async ({ world }) => {
          throw noWorld(world?.worldId ?? "");
        },
        deleteWorld: async () => {
          throw noWorld("another");
        },
      }),
    ],
  });
  connection = connectTo(`http://127.0.0.1:${server.port}`);
});
afterAll(async () => {
  connection.close();
  await server.close();
});

async function fieldsOf(work: Promise<unknown>): Promise<readonly string[]> {
  const failure = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(failure instanceof QmtlError)) throw new Error("expected a refusal", { cause: failure });
  return failure.fields.map(({ field }) => field);
}

test("a world that is not there is named with the field of the request, at the top or within", async () => {
  const worlds = connection.client(WorldService);

  expect(await fieldsOf(worlds.getWorld({ worldId: "typo" }))).toEqual(["world_id"]);
  expect(await fieldsOf(worlds.updateWorld({ world: { worldId: "typo" } }))).toEqual([
    "world.world_id",
  ]);
});

test("a world that the request did not name is no fault of its fields", async () => {
  const worlds = connection.client(WorldService);

  expect(await fieldsOf(worlds.deleteWorld({ worldId: "w", etag: "e" }))).toEqual([]);
});

test("a field that a service behind named in its own request is told as the one of the caller's", async () => {
  const node = {
    nodeId: `blake3:${"0".repeat(64)}`,
    nodeType: "price",
    intervalSeconds: 60n,
    period: 1,
    paramsJson: "{}",
    schemaCompatId: "f64:a",
    codeHash: "h",
    columns: [{ name: "a", kind: ColumnKind.F64 }],
  };
  const call = connection.client(GatewayService).submitStrategy({
    requestId: "r",
    strategyName: "s",
    worldIds: ["w", "nowhere"],
    graph: { nodes: [node] },
  });

  expect(await fieldsOf(call)).toEqual(["world_ids[1]"]);
});

test("a field that breaks two rules is named once", async () => {
  const unknown: number = 99;
  const call = connection
    .client(ActivationService)
    .freeze({ worldId: "w", hold: unknown as HoldKind, reason: "r" });

  expect(await fieldsOf(call)).toEqual(["hold"]);
});

test("params of 65,536 bytes pass the scan, one byte more is refused", async () => {
  const longest = `{${"x".repeat(65_535)}`;
  const submit = (paramsJson: string) =>
    connection
      .client(GatewayService)
      .submitStrategy({ requestId: "r", strategyName: "s", graph: { nodes: [{ paramsJson }] } });

  expect(await fieldsOf(submit(longest))).not.toContain("graph.nodes[0].params_json");
  expect(await fieldsOf(submit(`${longest}x`))).toEqual(["graph.nodes[0].params_json"]);
});

test("a part of a list that is too large is named with its index", async () => {
  const nodes = [{ paramsJson: "{}" }, { paramsJson: "x".repeat(6 * 1024 * 1024) }];
  const call = connection
    .client(GatewayService)
    .submitStrategy({ requestId: "r", strategyName: "s", graph: { nodes } });

  expect(await fieldsOf(call)).toEqual(["graph.nodes[1].params_json"]);
});
