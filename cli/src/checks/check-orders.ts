import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type { Connection } from "@qmtl/sdk/rpc";
import { reopening } from "../halts-of-world.ts";
import { timeText } from "../print.ts";
import { checkWithGateway, type GatewayCaller } from "./ask-gateway.ts";
import type { Check } from "./check.ts";

/** Checks that no world is shut because an order of it was written too late. */
export function checkOrders(config: QmtlConfig, caller: GatewayCaller): Promise<Check[]> {
  const failed = { name: "orders", what: "cannot check whether orders may leave" };
  return checkWithGateway(config, caller, shutChecks, failed);
}

/** One check for each world that is shut. */
export async function shutChecks(connection: Pick<Connection, "client">): Promise<Check[]> {
  const { shutWorlds } = await connection.client(OrderService).listHalts({ pageSize: 1 });
  return shutWorlds.map(({ worldId, clientOrderId, createTime }) => ({
    name: `orders of ${worldId}`,
    status: "error",
    detail: `degraded: no order of a strategy leaves, because order ${clientOrderId} was written too late (${timeText(createTime)})`,
    fix: `look at \`qmtl orders --world ${worldId}\`, then \`${reopening(worldId)}\`; a restart of the gateway does it, too`,
  }));
}
