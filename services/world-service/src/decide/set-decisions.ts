import { QmtlError } from "@qmtl/sdk/rpc";
import { appendAudit } from "../store/audit-table.ts";
import { insertDecision } from "../store/decision-table.ts";
import type { BindingRow } from "../store/world-rows.ts";
import { upsertBindings } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies, composeWorld, stagesOf } from "../world/world-state.ts";
import { switchedOff, withModes } from "./activations.ts";

/**
 * Sets the selected strategies by hand: the others are lowered to validate at once and left out of
 * applies; those named may be raised by the next apply. Inside `exclusive`.
 */
export async function setDecisions(
  actor: WorldActor,
  ports: ServicePorts,
  strategyIds: readonly string[],
  who: { readonly principal: string; readonly reason: string },
): Promise<void> {
  const { state } = actor;
  const unknown = strategyIds.filter((id) => state.bindings.get(id)?.removed !== false);
  if (unknown.length > 0) {
    throw new QmtlError("STRATEGY_NOT_FOUND", `not bound: ${unknown.join(", ")}`, {
      metadata: { strategy_ids: unknown.join(",") },
    });
  }
  const bindings = boundStrategies(state).map((binding): BindingRow => {
    const picked = strategyIds.includes(binding.strategyId);
    return { ...binding, picked, stage: picked ? binding.stage : "validate" };
  });
  const dropped = bindings.filter((b) => b.picked === false).map((b) => b.strategyId);
  const stages = Object.fromEntries(bindings.map((b) => [b.strategyId, b.stage]));
  const next = {
    world: state.world.stage,
    strategies: { ...stagesOf(state).strategies, ...stages },
  };
  const nowMs = ports.clock.nowMs();
  const composition = composeWorld(state, actor.row.holds, nowMs, next);
  const decisionId = ports.newId();
  const isLowered = bindings.some((b) => state.bindings.get(b.strategyId)?.stage !== b.stage);
  const body = { strategies: strategyIds, reason: who.reason };
  if (
    isLowered ||
    dropped.some((id) => actor.row.activations.some((a) => a.strategyId === id && a.active))
  ) {
    await actor.propose(
      (row) => {
        const off = switchedOff(row.activations, dropped);
        const ttlMs = state.world.settings.decisionTtlSeconds * 1000;
        const decision = { id: decisionId, mode: composition.mode, ttlMs };
        const change = { activations: withModes(off, composition), decision };
        return { kind: "change", change, reason: who.reason };
      },
      {
        principal: who.principal,
        change: "decision",
        audit: { type: "decisions_set", body },
        write: async (tx) => {
          await upsertBindings(tx, actor.worldId, bindings);
          await insertDecision(tx, actor.worldId, { decisionId, composition, createdMs: nowMs });
        },
      },
    );
    state.composition = composition;
  } else {
    await actor.write(async (tx) => {
      await upsertBindings(tx, actor.worldId, bindings);
      await appendAudit(tx, auditOf(actor, "decisions_set", who.principal, nowMs, body));
    });
  }
  for (const binding of bindings) state.bindings.set(binding.strategyId, binding);
}
