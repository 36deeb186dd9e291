import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { type Connection, hasReason } from "@qmtl/sdk/rpc";
import { allOf } from "../pages-of.ts";
import { checkWithGateway, type GatewayCaller } from "./ask-gateway.ts";
import type { Check } from "./check.ts";

/** Checks that the services behind the gateway know what it knows: one that lost its store answers, but is empty. */
export function checkAgreement(config: QmtlConfig, caller: GatewayCaller): Promise<Check[]> {
  const failed = { name: "stores", what: "cannot check whether they agree" };
  return checkWithGateway(config, caller, contradictions, failed);
}

/** What the gateway knows and a service does not. Services remember even what was deleted: such a one lost its data. */
export async function contradictions(connection: Pick<Connection, "client">): Promise<Check[]> {
  const gateway = connection.client(GatewayService);
  const strategies = await allOf(
    (pageToken) => gateway.listStrategies({ pageSize: 1000, pageToken }),
    (page) => page.strategies,
  );
  if (strategies.length === 0) return [];
  const { queues } = await connection.client(QueueService).listQueueStats({ pageSize: 1 });
  const worldIds = [...new Set(strategies.flatMap((one) => one.worldIds))].sort();
  const gone = await worldsMissing(connection, worldIds);
  return [
    ...(queues.length > 0 ? [] : [lost("DAG Manager", "has no queue")]),
    ...(gone.length === 0 ? [] : [lost("WorldService", `knows no world ${gone.join(", ")}`)]),
  ];
}

/** Those of the worlds that WorldService has never had: it keeps the audit even of a deleted world. */
async function worldsMissing(
  connection: Pick<Connection, "client">,
  worldIds: readonly string[],
): Promise<string[]> {
  const service = connection.client(WorldService);
  const known = await allOf(
    (pageToken) => service.listWorlds({ pageSize: 1000, pageToken }),
    (page) => page.worlds.map(({ worldId }) => worldId),
  );
  const gone: string[] = [];
  for (const worldId of worldIds.filter((id) => !known.includes(id))) {
    try {
      await service.listAuditEntries({ worldId, pageSize: 1 });
    } catch (failure) {
      if (!hasReason(failure, "WORLD_NOT_FOUND")) throw failure;
      gone.push(worldId);
    }
  }
  return gone;
}

function lost(service: string, what: string): Check {
  return {
    name: `${service} store`,
    status: "warning",
    detail: `${service} ${what}, but the gateway has strategies there: its store is not the one it had before`,
    fix: `stop the platform and restore the data of ${service}; without a backup, create the worlds and submit the strategies again`,
  };
}
