import { notLeading } from "@qmtl/service-kit";
import { type PhaseTime, readRun, type StoredRun } from "../store/gate-table.ts";
import { serviceName } from "../world/leadership.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** A phase of a run, as it was committed. */
export interface RunStep {
  readonly stored: StoredRun;
  readonly phase: PhaseTime;
}

/**
 * Yields the phases of a run from the first to the last, each as soon as it is committed. Ends early when `signal`
 * aborts; the run continues.
 *
 * @throws {QmtlError} NOT_LEADER or STORE_UNAVAILABLE when this process stops leading the world before that.
 */
export async function* followRun(
  actor: WorldActor,
  ports: ServicePorts,
  runId: string,
  signal: AbortSignal,
): AsyncGenerator<RunStep> {
  let shown = 0;
  while (!signal.aborted) {
    const waiting = actor.changed(signal);
    const last = actor.state.lastRun;
    const stored = last?.run.runId === runId ? last : await readRun(ports.db, actor.worldId, runId);
    if (stored === undefined) return;
    for (const phase of stored.phases.slice(shown)) yield { stored, phase };
    shown = stored.phases.length;
    if (stored.run.state === "COMPLETED" || stored.run.state === "ROLLED_BACK") return;
    if (actor.isStopped) throw notLeading(ports.leadership.standing, serviceName);
    await waiting;
  }
}
