import { createRouterTransport } from "@connectrpc/connect";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import {
  type Connection,
  clientOf,
  connectErrorFrom,
  dressTransport,
  QmtlError,
} from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { contradictions } from "./check-agreement.ts";

/** A gateway with strategies in these worlds, in front of services that know only what `knows` lists. */
function platform(
  worldIds: readonly string[],
  knows: { queues: number; worlds: readonly string[]; deleted?: readonly string[] },
): Pick<Connection, "client"> {
  const { queues, worlds, deleted = [] } = knows;
  const transport = createRouterTransport((router) => {
    router.service(GatewayService, {
      listStrategies: () => ({
        strategies: worldIds.map((worldId) => ({
          strategyId: `s-${worldId}`,
          worldIds: [worldId],
        })),
      }),
    });
    router.service(QueueService, {
      listQueueStats: () => ({ queues: Array.from({ length: queues }, () => ({})) }),
    });
    router.service(WorldService, {
      listWorlds: () => ({ worlds: worlds.map((worldId) => ({ worldId })) }),
      listAuditEntries: ({ worldId }) => {
        if (deleted.includes(worldId)) return { entries: [] };
        throw connectErrorFrom(new QmtlError("WORLD_NOT_FOUND", "no such world"));
      },
    });
  });
  const dressed = dressTransport(transport, {});
  return { client: (service) => clientOf(service, dressed) };
}

test("services that know what the gateway knows agree, also where a world was deleted", async () => {
  const fine = { queues: 1, worlds: ["a"], deleted: ["b"] };

  expect(await contradictions(platform(["a", "b"], fine))).toEqual([]);
  expect(await contradictions(platform([], { queues: 0, worlds: [] }))).toEqual([]);
});

test("a DAG Manager and a WorldService that came up empty are reported, each with what to do", async () => {
  const found = await contradictions(platform(["a", "b"], { queues: 0, worlds: ["a"] }));

  expect(found).toMatchObject(
    [
      { name: "DAG Manager store", status: "warning", detail: /has no queue/ },
      { name: "WorldService store", status: "warning", detail: /knows no world b,/ },
    ].map((one) => ({ ...one, detail: expect.stringMatching(one.detail) })),
  );
  expect(found.every(({ fix }) => fix?.includes("restore"))).toBe(true);
});
