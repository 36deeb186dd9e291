import { createRouterTransport } from "@connectrpc/connect";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { clientOf, dressTransport } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { shutChecks } from "./check-orders.ts";

const checksOf = (worldIds: readonly string[]) => {
  const transport = createRouterTransport((router) => {
    router.service(OrderService, {
      listHalts: () => ({
        shutWorlds: worldIds.map((worldId) => ({ worldId, clientOrderId: "q1" })),
      }),
    });
  });
  const dressed = dressTransport(transport, {});
  return shutChecks({ client: (service) => clientOf(service, dressed) });
};

test("a world that an order written too late has shut is degraded, with the reason and the way out", async () => {
  expect(await checksOf([])).toEqual([]);
  expect(await checksOf(["paper"])).toEqual([
    {
      name: "orders of paper",
      status: "error",
      detail: expect.stringMatching(/^degraded: .*order q1 was written too late/),
      fix: expect.stringContaining("`qmtl resume --world paper --reason TEXT`"),
    },
  ]);
});
