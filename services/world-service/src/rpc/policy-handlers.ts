import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Policy,
  PolicySchema,
  type PolicyService,
} from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { type Handlers, pagesOf } from "@qmtl/service-kit";
import {
  createPolicy,
  defaultPolicyEtag,
  findPolicy,
  type ShownPolicy,
  setDefaultPolicy,
} from "../configure/manage-policies.ts";
import { readPolicies } from "../store/policy-table.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";
import { requestKey, worldScope } from "./world-handlers.ts";

/** Handlers of PolicyService. */
export function policyHandlers(worlds: Worlds): Handlers<typeof PolicyService> {
  const { ports } = worlds;
  return {
    createPolicy: async ({ worldId, document, validateOnly, requestId }, context) => {
      const actor = worlds.get(worldId);
      const principal = context.principal.name;
      const request = requestKey(worldScope("CreatePolicy", actor), requestId, document);
      const wanted = { document, validateOnly, principal, request };
      return { policy: policyToProto(actor, await createPolicy(actor, ports, wanted)) };
    },
    listPolicies: async (request) => {
      const { worldId } = request;
      const filters = { method: "PolicyService.ListPolicies", worldId };
      const pages = pagesOf(ports.clock, request, filters, ["number"]);
      const actor = worlds.get(worldId);
      const { policyVersion } = actor.state.world;
      const [before = Number.MAX_SAFE_INTEGER] = pages.after ?? [];
      const rows = await readPolicies(ports.db, worldId, before, pages.size + 1);
      const { page, nextPageToken } = pages.end(rows, (row) => [row.version]);
      const show = (row: ShownPolicy["row"]) =>
        policyToProto(actor, { row, isDefault: row.version === policyVersion });
      return { policies: page.map(show), nextPageToken };
    },
    getPolicy: async ({ worldId, version }) => {
      const actor = worlds.get(worldId);
      return { policy: policyToProto(actor, await findPolicy(actor, ports, version)) };
    },
    setDefaultPolicy: async ({ worldId, version, etag }, context) => {
      const actor = worlds.get(worldId);
      const wanted = { version, etag, principal: context.principal.name };
      return { policy: policyToProto(actor, await setDefaultPolicy(actor, ports, wanted)) };
    },
  };
}

function policyToProto(actor: WorldActor, { row, isDefault }: ShownPolicy): Policy {
  const { version, document, checksum, principal, createdMs } = row;
  return create(PolicySchema, {
    worldId: actor.worldId,
    version,
    document,
    checksum,
    isDefault,
    createTime: timestampFromMs(createdMs),
    principal,
    defaultEtag: defaultPolicyEtag(actor),
  });
}
