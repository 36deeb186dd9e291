import { type Composition, insertDecision } from "../store/decision-table.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { withModes } from "./activations.ts";
import { composeWorld } from "./compose-decision.ts";

/**
 * Judges the terms of the decision again and publishes what changed: a lowered mode as a restrictive change, a term
 * that no longer binds as a permissive one, never above the stages. Call it inside `exclusive`, with no apply in
 * flight. Resolves to true when something changed.
 */
export async function reassess(
  actor: WorldActor,
  ports: ServicePorts,
  principal = "world-service",
): Promise<boolean> {
  if (!isDifferent(actor, compose(actor, ports))) return false;
  const decisionId = ports.newId();
  let composition = compose(actor, ports);
  await actor.propose(
    (row) => {
      composition = compose(actor, ports);
      const activations = withModes(row.activations, composition);
      const ttlMs = actor.state.world.settings.decisionTtlSeconds * 1000;
      const decision = { id: decisionId, mode: composition.mode, ttlMs };
      return { kind: "change", change: { activations, decision }, reason: composition.reason };
    },
    () => ({
      principal,
      change: "decision",
      audit: { type: "decision_set", body: { decision_id: decisionId, mode: composition.mode } },
      write: (tx) =>
        insertDecision(tx, actor.worldId, {
          decisionId,
          composition,
          createdMs: ports.clock.nowMs(),
        }),
    }),
  );
  actor.state.composition = composition;
  return true;
}

/** Whether the terms now lead to other modes than those of the gate. Cheap: called at every reported bucket. */
export function isReassessmentDue(actor: WorldActor, ports: ServicePorts): boolean {
  return !actor.isRunInFlight && isDifferent(actor, compose(actor, ports));
}

function compose(actor: WorldActor, ports: ServicePorts): Composition {
  return composeWorld(actor.state, actor.row.holds, ports.clock.nowMs());
}

function isDifferent(actor: WorldActor, composition: Composition): boolean {
  const { row } = actor;
  if (composition.mode !== row.decision.mode) return true;
  const modes = withModes(row.activations, composition);
  return modes.some((activation, index) => activation !== row.activations[index]);
}

/**
 * To be called on idle ticks. Judges the terms again, since data grow old by themselves; refreshes the decision once
 * half of its time to live is over, while a session is live; and changes a lease length that no longer fits the world's
 * stage (paper, live).
 */
export async function keepDecisionAlive(actor: WorldActor, ports: ServicePorts): Promise<void> {
  const isLeaseOld = actor.row.leaseMs !== actor.timers.leaseMs;
  if (!isReassessmentDue(actor, ports) && !actor.isRefreshDue && !isLeaseOld) return;
  await actor.exclusive(async () => {
    if (actor.isRunInFlight) return;
    const { leaseMs } = actor.timers;
    if (isLeaseOld) await actor.propose(() => ({ kind: "set_lease", leaseMs }));
    const hasChanged = await reassess(actor, ports);
    if (hasChanged || !actor.isRefreshDue) return;
    await actor.propose(() => ({ kind: "refresh" }));
  });
}
