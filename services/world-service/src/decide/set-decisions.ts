import { jcs } from "@qmtl/core/canonical";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Composition, insertDecision } from "../store/decision-table.ts";
import { hashText } from "../store/hash-text.ts";
import type { BindingRow } from "../store/world-rows.ts";
import { upsertAuditedBindings, upsertBindings } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { boundStrategies, stagesOf, type WorldState } from "../world/world-state.ts";
import { switchedOff, withModes } from "./activations.ts";
import { composeWorld } from "./compose-decision.ts";

/** A selection by hand. */
interface Selection {
  readonly strategyIds: readonly string[];
  /** Of the decision it is made on; empty: unconditional. */
  readonly etag: string;
  readonly principal: string;
  readonly reason: string;
}

/** The etag of a decision, which changes with what a world allows and which strategies are selected, not with time. */
export function decisionEtag(actor: WorldActor, composition: Composition): string {
  const { state } = actor;
  const content = {
    created: state.world.createdMs,
    mode: composition.mode,
    policy: composition.policyVersion,
    modes: composition.strategies.map(({ strategyId, mode }) => [strategyId, mode]),
    bound: boundStrategies(state).map((b) => [b.strategyId, b.stage, b.picked, b.share]),
  };
  return `d:${hashText(jcs(content)).slice(7, 31)}`;
}

/**
 * Sets the selected strategies by hand: the others are lowered to validate at once and left out of applies; those named
 * may be raised by the next apply. Call it inside `exclusive`.
 *
 * @throws {QmtlError} STRATEGY_NOT_FOUND for one that is not bound; ETAG_MISMATCH when the decision has changed since.
 */
export async function setDecisions(
  actor: WorldActor,
  ports: ServicePorts,
  selection: Selection,
): Promise<void> {
  await actor.settled();
  const { state } = actor;
  const { strategyIds, reason } = selection;
  const standing = composeWorld(state, actor.row.holds, ports.clock.nowMs());
  const current = decisionEtag(actor, standing);
  if (selection.etag !== "" && selection.etag !== current) {
    throw new QmtlError("ETAG_MISMATCH", "the decision was changed in the meantime", {
      metadata: { etag: current },
    });
  }
  mustBeBound(state, strategyIds);
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
  const body = { strategies: strategyIds, reason };
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
        return { kind: "change", change, reason };
      },
      {
        principal: selection.principal,
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
    const event = auditOf(actor, "decisions_set", selection.principal, nowMs, body);
    await actor.write((tx) => upsertAuditedBindings(tx, actor.worldId, bindings, event), true);
  }
  for (const binding of bindings) state.bindings.set(binding.strategyId, binding);
}

/** @throws {QmtlError} STRATEGY_NOT_FOUND naming those that are not bound. */
export function mustBeBound({ bindings }: WorldState, strategyIds: readonly string[]): void {
  const unknown = strategyIds.filter((id) => bindings.get(id)?.removed !== false);
  if (unknown.length === 0) return;
  throw new QmtlError("STRATEGY_NOT_FOUND", `not bound: ${unknown.join(", ")}`, {
    metadata: { strategy_ids: unknown.join(",") },
  });
}
