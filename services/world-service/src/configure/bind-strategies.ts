import { QmtlError } from "@qmtl/sdk/rpc";
import { reassess } from "../decide/reassess.ts";
import type { BindingRow } from "../store/world-rows.ts";
import { upsertAuditedBindings } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { WorldActor } from "../world/world-actor.ts";
import type { Worlds } from "../world/worlds.ts";

/** A strategy to bind. */
interface NewBinding {
  readonly strategyId: string;
  /** Empty: the name stays as it is. */
  readonly strategyName: string;
}

/**
 * Binds strategies to a world; binding again is not an error and keeps stage, share and order. One that was removed
 * starts over, at validate and without a share of its own.
 */
export function bindStrategies(
  worlds: Worlds,
  worldId: string,
  wanted: readonly NewBinding[],
  principal: string,
): Promise<BindingRow[]> {
  const actor = worlds.get(worldId);
  return actor.exclusive(async () => {
    await actor.settled();
    const nowMs = worlds.ports.clock.nowMs();
    const named = new Map(wanted.map((binding) => [binding.strategyId, binding]));
    const bindings = [...named.values()].map((one, index) => nextBinding(actor, one, index, nowMs));
    const isNews = bindings.some((b) => actor.state.bindings.get(b.strategyId) !== b);
    if (isNews) {
      const body = { strategies: bindings.map((b) => b.strategyId) };
      const event = auditOf(actor, "bindings_added", principal, nowMs, body);
      await actor.write((tx) => upsertAuditedBindings(tx, worldId, bindings, event), true);
      for (const binding of bindings) actor.state.bindings.set(binding.strategyId, binding);
    }
    return bindings;
  });
}

/**
 * Removes a strategy from a world: it falls to validate and loses its share; the stages it was demoted from are
 * remembered.
 *
 * @throws {QmtlError} BINDING_NOT_FOUND, also when it was removed before; CONFLICT while a side of it is active;
 * APPLY_IN_PROGRESS.
 */
export function unbindStrategy(
  worlds: Worlds,
  worldId: string,
  strategyId: string,
  why: { readonly principal: string; readonly reason: string },
): Promise<void> {
  const actor = worlds.get(worldId);
  return actor.exclusive(async () => {
    await actor.settled();
    const binding = actor.state.bindings.get(strategyId);
    if (binding === undefined || binding.removed) {
      throw new QmtlError("BINDING_NOT_FOUND", `${strategyId} is not bound to ${worldId}`, {
        metadata: { world_id: worldId, strategy_id: strategyId },
      });
    }
    if (actor.isRunInFlight) throw new QmtlError("APPLY_IN_PROGRESS", "an apply is in progress");
    if (actor.row.activations.some((a) => a.strategyId === strategyId && a.active)) {
      throw new QmtlError(
        "CONFLICT",
        `${strategyId} is active in ${worldId}; deactivate it first`,
        {
          metadata: { world_id: worldId, strategy_id: strategyId },
        },
      );
    }
    const nowMs = worlds.ports.clock.nowMs();
    const removed: BindingRow = {
      ...binding,
      stage: "validate",
      ownShare: null,
      picked: null,
      removed: true,
    };
    const body = { strategy_id: strategyId, reason: why.reason };
    const event = auditOf(actor, "binding_removed", why.principal, nowMs, body);
    await actor.write((tx) => upsertAuditedBindings(tx, worldId, [removed], event), true);
    actor.state.bindings.set(strategyId, removed);
    await reassess(actor, worlds.ports, why.principal);
  });
}

function nextBinding(
  actor: WorldActor,
  { strategyId, strategyName }: NewBinding,
  index: number,
  nowMs: number,
): BindingRow {
  const known = actor.state.bindings.get(strategyId);
  const name = strategyName === "" ? (known?.strategyName ?? "") : strategyName;
  if (known !== undefined && !known.removed) {
    return known.strategyName === name ? known : { ...known, strategyName: name };
  }
  return {
    strategyId,
    strategyName: name,
    stage: "validate",
    ownShare: null,
    demotedFrom: known?.demotedFrom ?? [],
    picked: null,
    removed: false,
    boundOrder: known?.boundOrder ?? actor.state.bindings.size + index,
    createdMs: nowMs,
  };
}
