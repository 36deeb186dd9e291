import { create } from "@bufbuild/protobuf";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  EdgeOverrideSchema,
  WorldNodeSchema,
  type WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { jcs } from "@qmtl/sdk/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Handlers, requireRole } from "@qmtl/service-kit";
import { readAudit } from "../store/audit-table.ts";
import type { RequestKey } from "../store/request-table.ts";
import { bindStrategies } from "../world/bind-strategies.ts";
import { deleteWorld, updateWorld } from "../world/change-world.ts";
import { createWorld } from "../world/create-world.ts";
import { hashText } from "../world/hash-text.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { TimerOverrides } from "../world/world-settings.ts";
import { boundStrategies } from "../world/world-state.ts";
import { listNodes, upsertEdge, upsertNode } from "../world/world-view.ts";
import type { Worlds } from "../world/worlds.ts";
import { settingsFromProto } from "./world-from-proto.ts";
import { auditToProto, bindingToProto, worldToProto } from "./world-to-proto.ts";

/** Items of a page when the request does not say. */
export const pageSizeDefault = 100;

/** What the handlers of WorldService need besides the worlds. */
export interface WorldHandlerOptions {
  /** Timers of a new world that sets none. */
  readonly timerDefaults: TimerOverrides;
}

/** WorldService on the wire. */
export function worldHandlers(
  worlds: Worlds,
  { timerDefaults }: WorldHandlerOptions,
): Handlers<typeof WorldService> {
  return {
    createWorld: async ({ world, requestId }, context) => {
      mayOperate(context);
      const settings = settingsFromProto(world!, timerDefaults);
      const { allocation } = world!;
      const principal = context.principal.name;
      const request = requestKey("CreateWorld", requestId, jcs({ settings, allocation }));
      const actor = await createWorld(worlds, { settings, allocation, principal, request });
      return { world: worldToProto(actor.state) };
    },
    getWorld: async ({ worldId }) => ({ world: worldToProto(worlds.get(worldId).state) }),
    listWorlds: async ({ pageSize, pageToken }) => {
      const size = pageSize || pageSizeDefault;
      const left = worlds.all().filter((actor) => actor.worldId > pageToken);
      const page = left.slice(0, size);
      const nextPageToken = left.length > size ? (page.at(-1)?.worldId ?? "") : "";
      return { worlds: page.map((actor) => worldToProto(actor.state)), nextPageToken };
    },
    updateWorld: async (request, context) => {
      mayOperate(context);
      const { allocation, etag } = request.world!;
      const settings = settingsFromProto(request.world!, {});
      const principal = context.principal.name;
      const actor = await updateWorld(worlds, { settings, allocation, etag, principal });
      return { world: worldToProto(actor.state) };
    },
    deleteWorld: async ({ worldId }, context) => {
      mayOperate(context);
      await deleteWorld(worlds, worldId, context.principal.name);
      return {};
    },
    createBindings: async (request, context) => {
      mayOperate(context, "gateway");
      const { worldId, bindings } = request;
      const bound = await bindStrategies(worlds, worldId, bindings, context.principal.name);
      const actor = worlds.get(worldId);
      return {
        bindings: bound.map((row) => bindingToProto(worldId, row, modeOf(actor, row.strategyId))),
      };
    },
    listBindings: async ({ worldId }) => {
      const actor = worlds.get(worldId);
      const rows = boundStrategies(actor.state);
      return {
        bindings: rows.map((row) => bindingToProto(worldId, row, modeOf(actor, row.strategyId))),
      };
    },
    upsertWorldNode: async ({ node }, context) => {
      mayOperate(context);
      await upsertNode(worlds, nodeFromProto(node!), context.principal.name);
      return { node: node! };
    },
    listWorldNodes: async ({ worldId }) => {
      const nodes = await listNodes(worlds, worldId);
      return {
        nodes: nodes.map((row) =>
          create(WorldNodeSchema, { ...row, worldId, executionDomain: domainToProto(row.domain) }),
        ),
      };
    },
    upsertEdgeOverride: async ({ edge }, context) => {
      mayOperate(context);
      await upsertEdge(worlds, edge!, context.principal.name);
      return { edge: edge! };
    },
    listEdgeOverrides: async ({ worldId }) => ({
      edges: worlds
        .get(worldId)
        .row.edges.map((edge) => create(EdgeOverrideSchema, { ...edge, worldId })),
    }),
    listAuditEntries: async ({ worldId, afterEntry, pageSize, pageToken }) => {
      const size = pageSize || pageSizeDefault;
      const after = Math.max(Number(afterEntry), Number(pageToken) || 0);
      const rows = await readAudit(worlds.ports.db, worldId, after, size + 1);
      const page = rows.slice(0, size);
      const nextPageToken = rows.length > size ? String(page.at(-1)?.entry ?? 0) : "";
      return { entries: page.map(auditToProto), nextPageToken };
    },
  };
}

/** Only those who may change things. @throws {QmtlError} ROLE_REQUIRED */
export function mayOperate(context: CallContext, ...also: "gateway"[]): void {
  requireRole(context, "owner", "operator", ...also);
}

/** Key of a request that may be repeated; undefined for one without an id. */
function requestKey(scope: string, requestId: string, content: string): RequestKey | undefined {
  return requestId === "" ? undefined : { scope, requestId, requestHash: hashText(content) };
}

/** Mode in force of a strategy, as its activation says; validate without one. */
function modeOf(actor: WorldActor, strategyId: string) {
  const activation = actor.row.activations.find((a) => a.strategyId === strategyId);
  return activation?.effectiveMode ?? "validate";
}

const DOMAINS = ["backtest", "dryrun", "live", "shadow"] as const;

function domainToProto(name: string): ExecutionDomain {
  const index = (DOMAINS as readonly string[]).indexOf(name);
  return index === -1 ? ExecutionDomain.BACKTEST : ((index + 1) as ExecutionDomain);
}

function nodeFromProto(node: {
  worldId: string;
  nodeId: string;
  executionDomain: number;
  status: string;
  reason: string;
}) {
  const { worldId, nodeId, status, reason } = node;
  if (worldId === "" || nodeId === "") {
    throw new QmtlError("INVALID_FIELD", "a node needs its world and id", {
      fields: [
        { field: worldId === "" ? "node.world_id" : "node.node_id", description: "is empty" },
      ],
    });
  }
  return {
    worldId,
    nodeId,
    status,
    reason,
    domain: DOMAINS[node.executionDomain - 1] ?? "backtest",
  };
}
