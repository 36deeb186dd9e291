import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { reopening } from "../halts-of-world.ts";
import { timeText } from "../print.ts";
import { type Check, messageOf } from "./check.ts";

/** Milliseconds the gateway may take to answer. */
const answerMsMax = 3_000;

/** Checks that no world is shut because an order of it was written too late. */
export async function checkOrders(
  config: QmtlConfig,
  { apiKey }: { readonly apiKey: string | undefined },
): Promise<Check[]> {
  const url = config.sdk.gateway_url;
  const connection = connectTo(url, {
    timeoutMs: answerMsMax,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(url.startsWith("https:") ? clientTls(config) : {}),
  });
  try {
    return await shutChecks(connection);
  } catch (failure) {
    const detail = `cannot check whether orders may leave: ${messageOf(failure)}`;
    return [{ name: "orders", status: "warning", detail }];
  } finally {
    connection.close();
  }
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
