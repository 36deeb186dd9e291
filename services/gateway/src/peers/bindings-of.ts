import { type Binding, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { allPages } from "@qmtl/service-kit";
import type { Peer, PeerCall } from "./peer.ts";

/** All bindings of a world, in order of binding. */
export function bindingsOf(world: Peer, worldId: string, call: PeerCall): Promise<Binding[]> {
  return allPages(
    (page) => world.unary(WorldService.method.listBindings, { worldId, ...page }, call),
    (answer) => answer.bindings,
  );
}
