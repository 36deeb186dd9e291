import type { OrderOrigin, RouterOrder } from "@qmtl/core/execution";
import type { Tx } from "@qmtl/service-kit/db";
import type { SqlWrite } from "../../store/writes.ts";
import { lockGateFence } from "../store/gate-fence.ts";
import { type Halts, isHalted } from "../store/halts.ts";
import type { OrderContext, OutgoingOrder, Permission } from "./booking.ts";
import { reasonOfRefusal } from "./gate-reasons.ts";
import type { TradedWorlds } from "./world-gate.ts";

/** Origins by which the router itself closes positions: neither a gate nor a halt stops them. */
const CLOSING: ReadonlySet<OrderOrigin> = new Set<OrderOrigin>([
  "demote",
  "halt_flatten",
  "lease_lost",
  "margin",
]);

/** The gate, or a halt, changed between the decision and the commit: nothing was stored. */
export class PermissionLost extends Error {
  override readonly name = "PermissionLost";
  readonly reason: "FENCE_STALE" | "HALTED";
  constructor(reason: "FENCE_STALE" | "HALTED") {
    super(`permission lost: ${reason}`);
    this.reason = reason;
  }
}

/** True when the gates of all worlds are open under these fences, and no halt covers any of the orders. */
const conditionOver = (open: string): string => `(
  (SELECT count(*) ${open}) = $3::int
  AND NOT EXISTS (SELECT FROM gateway.halt WHERE scope = 'all' OR (scope = 'account' AND target = $4::text)
    OR (scope = 'world' AND target = ANY($5::text[])) OR (scope = 'strategy' AND target = ANY($6::text[]))))`;
const open = `FROM gateway.gate_fence AS g JOIN unnest($1::text[], $2::bigint[]) AS u (world_id, fence)
  USING (world_id, fence) WHERE gate = 'OPEN'`;
const condition = conditionOver(open);
const lockedCondition = conditionOver(`FROM (SELECT ${open} FOR SHARE OF g) AS held`);

interface OrderPermissionPorts {
  readonly account: string;
  readonly halts: Halts;
  readonly worlds: Pick<TradedWorlds, "gateOf" | "storedFenceOf">;
  readonly rows: WorldRows;
}

/** Row of its feed that a world is at; −1 before the first. Implemented by `AccountRouter`. */
export interface WorldRows {
  rowOf(worldId: string): number;
}

/**
 * Whether orders of one account may leave: judged by memory when they are decided, and by what is stored when they are
 * journaled.
 */
export class OrderPermission {
  readonly #ports: OrderPermissionPorts;

  constructor(ports: OrderPermissionPorts) {
    this.#ports = ports;
  }

  /** Judges an order by the gate and the halts in memory. */
  readonly of: Permission = (order) => {
    const context = this.#contextOf(order);
    if (CLOSING.has(order.origin)) return { context, refusal: undefined, needs: "nothing" };
    if (this.#isHalted(order)) return { context, refusal: "HALTED", needs: "gate" };
    const { world, strategy, side } = order;
    const gate = this.#ports.worlds.gateOf(world);
    if (gate === undefined) return { context, refusal: "GATE_SHUT", needs: "gate" };
    const refusal = gate.check({ ...context, strategyId: strategy, side });
    const reason = refusal === null ? undefined : reasonOfRefusal[refusal];
    return { context, refusal: reason, needs: "gate" };
  };

  /**
   * The same for direct orders of a world that lets reduce-only ones leave a shut gate: for those only the halts count.
   */
  readonly ofReducing: Permission = (order) => {
    if (!order.reduceOnly) return this.of(order);
    const sessionId = this.#ports.worlds.gateOf(order.world)?.lastEmitterOf(order.strategy) ?? "";
    const context = { ...this.#contextOf(order), sessionId };
    return { context, refusal: this.#isHalted(order) ? "HALTED" : undefined, needs: "no_halt" };
  };

  #isHalted({ world, strategy }: Readonly<RouterOrder>): boolean {
    const { account, halts } = this.#ports;
    return halts.covering({ account, world, strategy }) !== undefined;
  }

  #contextOf({ world, strategy }: Readonly<RouterOrder>): OrderContext {
    const { worlds, rows } = this.#ports;
    const gate = worlds.gateOf(world);
    const applied = gate?.applied ?? undefined;
    return {
      fence: applied?.fence ?? worlds.storedFenceOf(world),
      decisionId: applied?.decision.id ?? "",
      sessionId: gate?.emitterOf(strategy) ?? "",
      domain: gate?.domainOf(strategy) ?? "backtest",
      row: rows.rowOf(world),
    };
  }

  /**
   * The check of `compare` as an SQL condition; undefined when nothing needs permission. `isLocking`: no gate changes
   * until the statement is stored, for a database that others write to.
   */
  condition(sends: readonly OutgoingOrder[], isLocking: boolean): SqlWrite | undefined {
    const haltable = sends.filter(({ needs }) => needs !== "nothing");
    if (haltable.length === 0) return undefined;
    const { account } = this.#ports;
    const gated = haltable.filter(({ needs }) => needs === "gate");
    // A world under two fences is in it twice, and one of the two finds no match.
    const under = new Map(
      gated.map(({ order, context }) => [`${context.fence} ${order.world}`, { order, context }]),
    );
    const worlds = [...under.values()].map(({ order }) => order.world);
    const fences = [...under.values()].map(({ context }) => context.fence);
    const haltWorlds = [...new Set(haltable.map(({ order }) => order.world))];
    const strategies = [...new Set(haltable.map(({ order }) => order.strategy))];
    const params = [worlds, fences, worlds.length, account, haltWorlds, strategies];
    return { sql: isLocking ? lockedCondition : condition, params };
  }

  /**
   * Compares with the halts in memory, which count from the moment they are set, stored or not. Call it directly before
   * the orders are stored.
   *
   * @throws {PermissionLost} when one covers an order
   */
  checkHalts(sends: readonly OutgoingOrder[]): void {
    const isHalted = ({ order, needs }: OutgoingOrder) =>
      needs !== "nothing" && order.state !== "rejected" && this.#isHalted(order);
    if (sends.some(isHalted)) throw new PermissionLost("HALTED");
  }

  /**
   * Compares with the stored fences and halts, in the transaction that journals the orders.
   *
   * @throws {PermissionLost} when they differ from what the orders were decided under.
   */
  async compare(tx: Tx, sends: readonly OutgoingOrder[]): Promise<void> {
    const haltable = sends.filter(({ needs }) => needs !== "nothing");
    if (haltable.length === 0) return;
    const gated = haltable.filter(({ needs }) => needs === "gate");
    // Sorted: transactions that lock several rows take them in one order.
    const worlds = [...new Set(gated.map(({ order }) => order.world))].sort();
    const { account } = this.#ports;
    const subjects = haltable.map(({ order }) => ({ ...order, account }));
    const [gates, halted] = await Promise.all([
      Promise.all(worlds.map((world) => lockGateFence(tx, world))),
      isHalted(tx, subjects),
    ]);
    for (const [index, world] of worlds.entries()) {
      const row = gates[index];
      const isSame = gated.every(
        ({ order, context }) => order.world !== world || context.fence === row?.fence,
      );
      if (row?.gate !== "OPEN" || !isSame) throw new PermissionLost("FENCE_STALE");
    }
    if (halted) throw new PermissionLost("HALTED");
  }
}
