import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { isReassessmentDue, reassess } from "./reassess.ts";

/**
 * On idle ticks: the terms are judged again (data grow old by themselves), and the standing decision
 * gets its full life back at half of it while a session is live. A lease length that does not fit the
 * world's stage (paper, live) any more is changed.
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
