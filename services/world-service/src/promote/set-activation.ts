import { jcs } from "@qmtl/sdk/canonical";
import type { Activation, PositionSide } from "@qmtl/sdk/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import { hashText } from "../world/hash-text.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** What is wanted of the activations of one strategy. */
export interface ActivationWish {
  readonly strategyId: string;
  /** Undefined for both sides. */
  readonly side: PositionSide | undefined;
  readonly active: boolean;
  /** Undefined: unchanged. */
  readonly weight: number | undefined;
  readonly freeze: boolean;
  readonly drain: boolean;
  /** Of one of the sides concerned; empty: unconditional. */
  readonly etag: string;
  readonly principal: string;
  readonly reason: string;
}

/** Changes with the activation. */
export function activationEtag(worldId: string, activation: Activation): string {
  return `act:${hashText(jcs({ worldId, ...activation })).slice(7, 23)}`;
}

/**
 * Switches sides of a strategy off or changes their weight, at once. Resolves to when no lease rests on
 * the old state any more.
 *
 * @throws {QmtlError} MODE_NOT_REACHABLE for switching on, ETAG_MISMATCH, ACTIVATION_NOT_FOUND
 */
export function setActivation(
  actor: WorldActor,
  ports: ServicePorts,
  wish: ActivationWish,
): Promise<number> {
  return actor.exclusive(async () => {
    const isMeant = (a: Activation): boolean =>
      a.strategyId === wish.strategyId && (wish.side === undefined || a.side === wish.side);
    const before = actor.row.activations.filter(isMeant);
    if (before.length === 0) {
      throw new QmtlError("ACTIVATION_NOT_FOUND", `${wish.strategyId} was never activated here`, {
        metadata: { strategy_id: wish.strategyId },
      });
    }
    const etags = before.map((a) => activationEtag(actor.worldId, a));
    if (wish.etag !== "" && !etags.includes(wish.etag)) {
      throw new QmtlError("ETAG_MISMATCH", "the activation was changed meanwhile", {
        metadata: { etag: etags[0] ?? "" },
      });
    }
    if (wish.active && before.some((a) => !a.active)) {
      throw new QmtlError("MODE_NOT_REACHABLE", "switching on needs an apply");
    }
    await actor.propose(
      (row) => {
        const activations = row.activations.map((a) => (isMeant(a) ? changed(a, wish) : a));
        return { kind: "change", change: { activations }, reason: wish.reason };
      },
      {
        principal: wish.principal,
        change: "activation",
        audit: { type: "activation_updated", body: auditBody(wish) },
      },
    );
    return ports.clock.nowMs() + actor.row.maxLeaseMs;
  });
}

function changed(activation: Activation, wish: ActivationWish): Activation {
  const { active, freeze, drain } = wish;
  return { ...activation, active, freeze, drain, weight: wish.weight ?? activation.weight };
}

function auditBody(wish: ActivationWish): Record<string, unknown> {
  const { strategyId, side, active, weight, freeze, drain, reason } = wish;
  return {
    strategy_id: strategyId,
    side: side ?? "both",
    active,
    weight: weight ?? null,
    freeze,
    drain,
    reason,
  };
}
