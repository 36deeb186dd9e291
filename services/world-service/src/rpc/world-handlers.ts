import { create } from "@bufbuild/protobuf";
import {
  EdgeOverrideSchema,
  type WorldNode,
  WorldNodeSchema,
  type WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { jcs } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { compareKeys, type Handlers, pagesOf, requireRole } from "@qmtl/service-kit";
import { bindStrategies, unbindStrategy } from "../configure/bind-strategies.ts";
import { deleteWorld, updateWorld } from "../configure/change-world.ts";
import { createWorld } from "../configure/create-world.ts";
import { upsertEdge, upsertNode } from "../configure/world-view.ts";
import { readAudit } from "../store/audit-table.ts";
import { hashText } from "../store/hash-text.ts";
import { readNodes, type WorldNodeRow } from "../store/node-table.ts";
import type { RequestKey } from "../store/request-table.ts";
import type { BindingRow, TimerOverrides } from "../store/world-rows.ts";
import type { SharedBinding } from "../world/shares-in-force.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies } from "../world/world-state.ts";
import type { Worlds } from "../world/worlds.ts";
import { nodeDomains, nodeStates } from "./closed-sets.ts";
import { settingsChange } from "./update-mask.ts";
import { settingsFromProto } from "./world-from-proto.ts";
import { auditToProto, bindingToProto, worldToProto } from "./world-to-proto.ts";

/** What the handlers of WorldService need besides the worlds. */
export interface WorldHandlerOptions {
  /** Timers of a new world that sets none. */
  readonly timerDefaults: TimerOverrides;
}

/** Handlers of WorldService. */
export function worldHandlers(
  worlds: Worlds,
  { timerDefaults }: WorldHandlerOptions,
): Handlers<typeof WorldService> {
  return {
    createWorld: async ({ world, requestId }, context) => {
      const settings = settingsFromProto(world!, timerDefaults);
      if (settings.allowLive) requireRole(context, "owner");
      const principal = context.principal.name;
      const request = requestKey("CreateWorld", requestId, jcs({ settings }));
      const actor = await createWorld(worlds, { settings, principal, request });
      return { world: worldToProto(actor.state) };
    },
    getWorld: async ({ worldId }) => ({ world: worldToProto(worlds.get(worldId).state) }),
    updateWorld: async ({ world, updateMask }, context) => {
      const { worldId, etag } = world!;
      const change = settingsChange(world!, updateMask?.paths ?? []);
      const caller = context.principal;
      const actor = await updateWorld(worlds, { worldId, change, etag, caller });
      return { world: worldToProto(actor.state) };
    },
    deleteWorld: async ({ worldId, etag }, context) => {
      await deleteWorld(worlds, { worldId, etag, principal: context.principal.name });
      return {};
    },
    createBindings: async ({ worldId, strategies }, context) => {
      const bound = await bindStrategies(worlds, worldId, strategies, context.principal.name);
      const actor = worlds.get(worldId);
      return { bindings: boundAmong(actor, bound).map((row) => shownBinding(actor, row)) };
    },
    deleteBinding: async ({ worldId, strategyId, reason }, context) => {
      const why = { principal: context.principal.name, reason };
      await unbindStrategy(worlds, worldId, strategyId, why);
      return {};
    },
    upsertWorldNode: async ({ node }, context) => {
      const { worldId } = node!;
      const row = nodeFromProto(node!);
      await upsertNode(worlds, { ...row, worldId }, context.principal.name);
      return { node: nodeToProto(worldId, row) };
    },
    upsertEdgeOverride: async ({ edge }, context) => {
      await upsertEdge(worlds, edge!, context.principal.name);
      return { edge: edge! };
    },
    ...worldLists(worlds),
  };
}

/** The lists of WorldService, in pages. */
function worldLists(
  worlds: Worlds,
): Pick<
  Handlers<typeof WorldService>,
  "listWorlds" | "listBindings" | "listWorldNodes" | "listEdgeOverrides" | "listAuditEntries"
> {
  const { clock, db } = worlds.ports;
  return {
    listWorlds: async (request) => {
      const pages = pagesOf(clock, request, { method: "WorldService.ListWorlds" }, ["string"]);
      const { page, nextPageToken } = pages.cut(worlds.all(), (actor) => [actor.worldId]);
      return { worlds: page.map((actor) => worldToProto(actor.state)), nextPageToken };
    },
    listBindings: async (request) => {
      const { worldId } = request;
      const filters = { method: "WorldService.ListBindings", worldId };
      const pages = pagesOf(clock, request, filters, ["number", "string"]);
      const actor = worlds.get(worldId);
      const keyOf = (row: BindingRow) => [row.createdMs, row.strategyId] as const;
      const rows = boundStrategies(actor.state).sort((a, b) => compareKeys(keyOf(a), keyOf(b)));
      const { page, nextPageToken } = pages.cut(rows, keyOf);
      return { bindings: page.map((row) => shownBinding(actor, row)), nextPageToken };
    },
    listWorldNodes: async (request) => {
      const { worldId } = request;
      const filters = { method: "WorldService.ListWorldNodes", worldId };
      const pages = pagesOf(clock, request, filters, ["string", "string"]);
      worlds.get(worldId);
      const rows = await readNodes(db, worldId, pages.after ?? ["", ""], pages.size + 1);
      const { page, nextPageToken } = pages.end(rows, (row) => [row.nodeId, row.domain]);
      return { nodes: page.map((row) => nodeToProto(worldId, row)), nextPageToken };
    },
    listEdgeOverrides: async (request) => {
      const { worldId } = request;
      const filters = { method: "WorldService.ListEdgeOverrides", worldId };
      const pages = pagesOf(clock, request, filters, ["string", "string"]);
      const keyOf = (edge: { source: string; target: string }) =>
        [edge.source, edge.target] as const;
      const edges = worlds
        .get(worldId)
        .row.edges.toSorted((a, b) => compareKeys(keyOf(a), keyOf(b)));
      const { page, nextPageToken } = pages.cut(edges, keyOf);
      return {
        edges: page.map((edge) => create(EdgeOverrideSchema, { ...edge, worldId })),
        nextPageToken,
      };
    },
    listAuditEntries: async (request) => {
      const { worldId, afterEntry } = request;
      const filters = { method: "WorldService.ListAuditEntries", worldId, afterEntry };
      const pages = pagesOf(clock, request, filters, ["number"]);
      const [after = Math.min(Number(afterEntry), Number.MAX_SAFE_INTEGER)] = pages.after ?? [];
      // The audit of a deleted world stays readable.
      const isDeleted = worlds.find(worldId) === undefined;
      if (isDeleted && (await readAudit(db, worldId, 0, 1)).length === 0) worlds.get(worldId);
      const rows = await readAudit(db, worldId, after, pages.size + 1);
      const { page, nextPageToken } = pages.end(rows, (row) => [row.entry]);
      return { entries: page.map(auditToProto), nextPageToken };
    },
  };
}

/** Key of a request that may be repeated; undefined for one without an id. */
export function requestKey(
  scope: string,
  requestId: string,
  content: string,
): RequestKey | undefined {
  return requestId === "" ? undefined : { scope, requestId, requestHash: hashText(content) };
}

/** Scope of the request ids of a method in a world; a world created again under the same id has a scope of its own. */
export function worldScope(method: string, actor: WorldActor): string {
  return `${method}/${actor.worldId}/${actor.state.world.createdMs}`;
}

/** The rows just bound, with the shares that are now in force. */
function boundAmong(actor: WorldActor, rows: readonly BindingRow[]): SharedBinding[] {
  const bound = boundStrategies(actor.state);
  return rows.flatMap((row) => bound.filter((one) => one.strategyId === row.strategyId));
}

/** A binding with its strategy's mode in force, taken from the activation; validate without one. */
function shownBinding(actor: WorldActor, row: SharedBinding) {
  const activation = actor.row.activations.find((a) => a.strategyId === row.strategyId);
  return bindingToProto(actor.worldId, row, activation?.effectiveMode ?? "validate");
}

function nodeFromProto({ nodeId, executionDomain, status, reason }: WorldNode): WorldNodeRow {
  if (nodeId === "") {
    const fields = [{ field: "node.node_id", description: "is empty" }];
    throw new QmtlError("INVALID_FIELD", "the id of the node is required", { fields });
  }
  return {
    nodeId,
    domain: nodeDomains.fromProto(executionDomain, "node.execution_domain"),
    status: nodeStates.fromProto(status, "node.status"),
    reason,
  };
}

function nodeToProto(worldId: string, { nodeId, domain, status, reason }: WorldNodeRow): WorldNode {
  const executionDomain = nodeDomains.toProto(domain);
  const fields = { worldId, nodeId, executionDomain, status: nodeStates.toProto(status), reason };
  return create(WorldNodeSchema, fields);
}
