import { QmtlError } from "@qmtl/sdk/rpc";
import { shareTolerance } from "../capital/share-tolerance.ts";
import { appendAudit } from "../store/audit-table.ts";
import type { BindingRow } from "../store/world-rows.ts";
import { upsertBindings } from "../store/world-table.ts";
import { auditOf } from "./audit-of.ts";
import type { WorldActor } from "./world-actor.ts";
import type { Worlds } from "./worlds.ts";

/** A strategy to bind. */
export interface NewBinding {
  readonly strategyId: string;
  readonly strategyName: string;
  /** Share of the world's capital; 0 leaves the one there is. */
  readonly share: number;
}

/** Binds strategies to a world; binding again is no error and keeps stage and place. */
export function bindStrategies(
  worlds: Worlds,
  worldId: string,
  wanted: readonly NewBinding[],
  principal: string,
): Promise<BindingRow[]> {
  const actor = worlds.get(worldId);
  return actor.exclusive(async () => {
    const nowMs = worlds.ports.clock.nowMs();
    const bindings = wanted.map((binding, index) => nextBinding(actor, binding, index, nowMs));
    checkShares(actor, bindings);
    const isNews = bindings.some((b) => actor.state.bindings.get(b.strategyId) !== b);
    if (isNews) {
      await actor.write(async (tx) => {
        await upsertBindings(tx, worldId, bindings);
        const body = { strategies: bindings.map((b) => b.strategyId) };
        await appendAudit(tx, auditOf(actor, "bindings_added", principal, nowMs, body));
      });
      for (const binding of bindings) actor.state.bindings.set(binding.strategyId, binding);
    }
    return bindings;
  });
}

function nextBinding(
  actor: WorldActor,
  { strategyId, strategyName, share }: NewBinding,
  index: number,
  nowMs: number,
): BindingRow {
  const known = actor.state.bindings.get(strategyId);
  const kept = share === 0 ? known?.share : share;
  const name = strategyName === "" ? (known?.strategyName ?? "") : strategyName;
  if (known !== undefined) {
    const isSame = !known.removed && known.share === kept && known.strategyName === name;
    return isSame ? known : { ...known, share: kept ?? 0, strategyName: name, removed: false };
  }
  return {
    strategyId,
    strategyName,
    stage: "validate",
    share,
    demotedFrom: [],
    picked: null,
    removed: false,
    boundOrder: actor.state.bindings.size + index,
    createdMs: nowMs,
  };
}

function checkShares(actor: WorldActor, bindings: readonly BindingRow[]): void {
  const shares = new Map([...actor.state.bindings.values()].map((b) => [b.strategyId, b]));
  for (const binding of bindings) shares.set(binding.strategyId, binding);
  const sum = [...shares.values()].reduce((total, b) => total + (b.removed ? 0 : b.share), 0);
  if (sum <= 1 + shareTolerance && bindings.every((b) => b.share >= 0)) return;
  throw new QmtlError(
    "ALLOCATION_INVALID",
    `shares of world ${actor.worldId} would sum to ${sum}`,
    {
      fields: [{ field: "bindings", description: "shares of one world must not sum above 1" }],
    },
  );
}
