import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Policy,
  PolicySchema,
  type PolicyService,
} from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import type { Handlers } from "@qmtl/service-kit";
import {
  createPolicy,
  findPolicy,
  type ShownPolicy,
  setDefaultPolicy,
} from "../policy/manage-policies.ts";
import { readPolicies } from "../store/policy-table.ts";
import type { Worlds } from "../world/worlds.ts";
import { mayOperate } from "./world-handlers.ts";

/** PolicyService on the wire. */
export function policyHandlers(worlds: Worlds): Handlers<typeof PolicyService> {
  const { ports } = worlds;
  return {
    createPolicy: async ({ worldId, document, validateOnly }, context) => {
      mayOperate(context);
      const options = { validateOnly, principal: context.principal.name };
      const shown = await createPolicy(worlds.get(worldId), ports, document, options);
      return { policy: policyToProto(worldId, shown) };
    },
    listPolicies: async ({ worldId }) => {
      const { policyVersion } = worlds.get(worldId).state.world;
      const rows = await readPolicies(ports.db, worldId);
      const show = (row: ShownPolicy["row"]) =>
        policyToProto(worldId, { row, isDefault: row.version === policyVersion });
      return { policies: rows.map(show) };
    },
    getPolicy: async ({ worldId, version }) => {
      const shown = await findPolicy(worlds.get(worldId), ports, version);
      return { policy: policyToProto(worldId, shown) };
    },
    setDefaultPolicy: async ({ worldId, version }, context) => {
      mayOperate(context);
      const shown = await setDefaultPolicy(
        worlds.get(worldId),
        ports,
        version,
        context.principal.name,
      );
      return { policy: policyToProto(worldId, shown) };
    },
  };
}

function policyToProto(worldId: string, { row, isDefault }: ShownPolicy): Policy {
  const { version, document, checksum, principal, createdMs } = row;
  const createTime = timestampFromMs(createdMs);
  return create(PolicySchema, {
    worldId,
    version,
    document,
    checksum,
    isDefault,
    createTime,
    principal,
  });
}
