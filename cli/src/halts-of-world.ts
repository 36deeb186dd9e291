import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { type Halt, HaltSchema } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import type { World } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { haltedText } from "./halt-scope.ts";
import { jsonOf } from "./json-of.ts";
import { allOf } from "./pages-of.ts";
import type { CommandSession } from "./session.ts";

/** The halts in force that touch a world: of everything, of its account, of it, and of strategies bound to it. */
export async function haltsOfWorld(
  session: Pick<CommandSession, "client">,
  world: Pick<World, "worldId" | "accountId">,
  strategyIds: readonly string[],
): Promise<Halt[]> {
  const service = session.client(OrderService);
  const halts = await allOf(
    (pageToken) => service.listHalts({ pageSize: 1000, pageToken }),
    (page) => page.halts,
  );
  return halts.filter(({ target: place }) => {
    const target = place?.target;
    switch (target?.case) {
      case "accountId":
        return target.value === world.accountId;
      case "worldId":
        return target.value === world.worldId;
      case "strategyId":
        return strategyIds.includes(target.value);
      default:
        return true; // everything, or something this version does not know
    }
  });
}

/** One line about a halt: what it covers, why, by whom. */
export function haltLine(halt: Halt): string {
  const unstored = halt.stored ? "" : ", not stored yet";
  return `halted: ${haltedText(halt)}  ${halt.haltId}  ${halt.reason}  by ${halt.principal}${unstored}`;
}

export function haltsJson(halts: readonly Halt[]): unknown[] {
  return halts.map((halt) => jsonOf(HaltSchema, halt));
}
