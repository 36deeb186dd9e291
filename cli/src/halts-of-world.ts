import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import {
  type Halt,
  HaltSchema,
  type ShutWorld,
  ShutWorldSchema,
} from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import { type World, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { haltedText } from "./halt-scope.ts";
import { jsonOf } from "./json-of.ts";
import { allOf, pagesOf } from "./pages-of.ts";
import { enumName, timeText } from "./print.ts";
import type { CommandSession } from "./session.ts";

/** What keeps orders of a world from leaving, whatever its gate is. */
export interface WorldStops {
  /** The halts in force that touch it. */
  readonly halts: readonly Halt[];
  /** Itself, if an order that was written too late has shut it. */
  readonly shut: readonly ShutWorld[];
}

/** The halts in force that touch a world: of everything, of its account, of it, and of strategies bound to it. */
export async function stopsOfWorld(
  session: Pick<CommandSession, "client">,
  world: Pick<World, "worldId" | "accountId">,
  strategyIds: readonly string[],
): Promise<WorldStops> {
  const service = session.client(OrderService);
  const halts: Halt[] = [];
  const shut: ShutWorld[] = [];
  for await (const page of pagesOf((pageToken) => {
    return service.listHalts({ pageSize: 1000, pageToken });
  })) {
    halts.push(...page.halts);
    shut.push(...page.shutWorlds);
  }
  const touching = halts.filter(({ target: place }) => {
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
  return { halts: touching, shut: shut.filter(({ worldId }) => worldId === world.worldId) };
}

/** `stopsOfWorld` of a world of which only the name is known. */
export async function stopsIn(
  session: Pick<CommandSession, "client">,
  worldId: string,
): Promise<WorldStops> {
  const service = session.client(WorldService);
  const [{ world }, bindings] = await Promise.all([
    service.getWorld({ worldId }),
    allOf(
      (pageToken) => service.listBindings({ worldId, pageSize: 1000, pageToken }),
      (page) => page.bindings,
    ),
  ]);
  const strategyIds = bindings.map(({ strategyId }) => strategyId);
  return stopsOfWorld(session, { worldId, accountId: world?.accountId ?? "" }, strategyIds);
}

/** A gate in words, with what keeps orders back although it is open. */
export function gateText(gate: Gate | undefined, shut: readonly ShutWorld[]): string {
  const name = enumName(Gate, gate ?? 0);
  return shut.length === 0 ? name : `${name}, but no order leaves`;
}

/** One line for each stop. */
export function stopLines({ halts, shut }: WorldStops): string[] {
  return [...halts.map(haltLine), ...shut.map(shutLine)];
}

/** One line about a halt: what it covers, why, by whom. */
function haltLine(halt: Halt): string {
  const unstored = halt.stored ? "" : ", not stored yet";
  return `halted: ${haltedText(halt)}  ${halt.haltId}  ${halt.reason}  by ${halt.principal}${unstored}`;
}

/** One line about a world that an order written too late has shut: why, since when, and the way out. */
export function shutLine({ worldId, clientOrderId, createTime }: ShutWorld): string {
  return `shut: order ${clientOrderId} was written too late (${timeText(createTime)}), so no order of a strategy leaves; \`${reopening(worldId)}\` opens it again`;
}

/** The command that opens a world again. */
export function reopening(worldId: string): string {
  return `qmtl resume --world ${worldId} --reason TEXT`;
}

export function stopsJson({ halts, shut }: WorldStops): Record<string, unknown[]> {
  return {
    halts: halts.map((halt) => jsonOf(HaltSchema, halt)),
    ...(shut.length === 0
      ? {}
      : { shut_worlds: shut.map((each) => jsonOf(ShutWorldSchema, each)) }),
  };
}
