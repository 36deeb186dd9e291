import { jcs } from "@qmtl/core/canonical";
import type { Activation, PositionSide } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import { hashText } from "../store/hash-text.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** Fields of an activation that change; absent ones stay. Switching on needs an apply. */
interface ActivationChange {
  readonly active?: false;
  readonly weight?: number;
  readonly freeze?: boolean;
  readonly drain?: boolean;
}

/** A change of the activations of one strategy. */
interface ActivationUpdate {
  readonly strategyId: string;
  readonly sides: readonly PositionSide[];
  readonly change: ActivationChange;
  /** Of the strategy's activations as they were read; empty: unconditional. */
  readonly etag: string;
  readonly principal: string;
  readonly reason: string;
}

/** The etag of a strategy's activations, which changes with either side. */
export function activationEtag(actor: WorldActor, strategyId: string): string {
  const created = actor.state.world.createdMs;
  const activations = activationsOf(actor, strategyId).map((a) => ({ ...a }));
  return `act:${hashText(jcs({ world: actor.worldId, created, activations })).slice(7, 31)}`;
}

/**
 * Changes sides of a strategy at once. Resolves to the time from which no lease rests on what was taken away any more,
 * milliseconds since 1970; undefined when nothing was taken away.
 *
 * @throws {QmtlError} ACTIVATION_NOT_FOUND for one that was never switched on here; ETAG_MISMATCH when either side has
 * changed since.
 */
export function updateActivation(
  actor: WorldActor,
  ports: ServicePorts,
  update: ActivationUpdate,
): Promise<number | undefined> {
  const { strategyId, sides, change, principal, reason } = update;
  const isMeant = (a: Activation): boolean => a.strategyId === strategyId && sides.includes(a.side);
  return actor.exclusive(async () => {
    await actor.settled();
    const before = actor.row.activations.filter(isMeant);
    if (before.length === 0) {
      throw new QmtlError("ACTIVATION_NOT_FOUND", `${strategyId} was never activated here`, {
        metadata: { strategy_id: strategyId },
      });
    }
    const current = activationEtag(actor, strategyId);
    if (update.etag !== "" && update.etag !== current) {
      throw new QmtlError("ETAG_MISMATCH", "the activation was changed in the meantime", {
        metadata: { etag: current },
      });
    }
    const answer = await actor.propose(
      (row) => {
        const activations = row.activations.map((a) => (isMeant(a) ? { ...a, ...change } : a));
        return { kind: "change", change: { activations }, reason };
      },
      {
        principal,
        change: "activation",
        audit: {
          type: "activation_updated",
          body: { strategy_id: strategyId, sides, ...change, reason },
        },
      },
    );
    if (answer.kind !== "propose") return undefined;
    // From here on no lease of a session at an older revision is renewed: all are over within the longest lease.
    const isLess = answer.proposal.row.requiredRevision > answer.proposal.before.requiredRevision;
    return isLess ? ports.clock.nowMs() + actor.row.maxLeaseMs : undefined;
  });
}

/** Activations of a strategy, of both sides. */
export function activationsOf(actor: WorldActor, strategyId: string): readonly Activation[] {
  return actor.row.activations.filter((a) => a.strategyId === strategyId);
}
