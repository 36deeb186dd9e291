import { isInStage } from "@qmtl/core/execution";
import { type GateState, modeAllowsOrders } from "@qmtl/core/gate";
import { failpoints } from "@qmtl/service-kit";
import type { AccountRouter } from "../account/account-router.ts";
import { writeGateFence } from "../store/gate-fence.ts";
import type { OrderWorld, WorldShares } from "../store/order-world.ts";
import type { RouterGate } from "./router-gate.ts";

/**
 * Applies a gate state between orders: the fence is stored here and at the broker before the gate acknowledges; then a
 * shut gate cancels the world's working opening orders, and a strategy whose mode no longer lets orders out is demoted.
 * Call it only within an exclusive operation of the account.
 */
export async function applyGate(
  router: AccountRouter,
  routerGate: RouterGate,
  world: OrderWorld,
  state: GateState,
  stateHash: string,
): Promise<void> {
  const { db, broker, logger } = router.deps;
  try {
    await writeGateFence(db, state);
    await broker.registerFence(world.worldId, state.fence);
  } catch (failure) {
    // The gate must shut all the same; nothing can be sent while the fence cannot be compared.
    logger.error("fence not stored", { world: world.worldId, error: failure });
  }
  const before = routerGate.applied;
  routerGate.adopt(state, stateHash);
  const booking = router.booking();
  const place = router.journalPlace(world.worldId);
  const { revision, fence, gate } = state;
  if (before?.fence !== fence || before.gate !== gate) {
    booking.note("gate", place, { world: world.worldId, revision, fence, gate });
  }
  if (gate !== "OPEN") {
    const op = {
      op: "cancel",
      scope: { world: world.worldId },
      protective: world.cancelProtective,
    } as const;
    if (hasCancellable(router, world)) booking.apply("gate", op, place, router.permission);
  }
  for (const strategy of stagedIn(router, world.worldId)) {
    if (modeAllowsOrders(routerGate.modeOf(strategy) ?? "validate")) continue;
    const bucket = router.bucketOf(world.worldId);
    const op = {
      op: "demote",
      world: world.worldId,
      strategy,
      onDemote: world.onDemote,
      bucket,
    } as const;
    booking.apply("demote", op, router.journalPlace(world.worldId, strategy), router.permission);
  }
  await router.commitAndSend(booking);
  await failpoints.hit("gw.gate.after_commit");
}

/** While the gate is open, the strategies whose mode lets orders out but that have no capital yet; otherwise none. */
export function awaitingStage(router: AccountRouter, routerGate: RouterGate): string[] {
  const applied = routerGate.applied;
  if (applied?.gate !== "OPEN") return [];
  const staged = new Set(stagedIn(router, applied.worldId));
  const wanted = applied.activations
    .filter((one) => one.active && modeAllowsOrders(one.effectiveMode))
    .map((one) => one.strategyId);
  return [...new Set(wanted)].filter((strategy) => !staged.has(strategy));
}

/** Gives every strategy that enters a stage its capital: strategy share × world share × equity now. */
export async function beginStages(
  router: AccountRouter,
  routerGate: RouterGate,
  shares: WorldShares,
): Promise<void> {
  const strategies = awaitingStage(router, routerGate);
  const world = routerGate.applied?.worldId ?? "";
  const booking = router.booking();
  const equity = router.core.equity();
  const bucket = router.bucketOf(world);
  for (const strategy of strategies) {
    const share = shares.ratio * (shares.strategies.get(strategy) ?? 0);
    const input = { world, strategy, share, equity, beginsStage: true };
    const place = router.journalPlace(world, strategy);
    booking.apply("capital", { op: "allocate", input, bucket }, place, router.permission);
  }
  await router.commit(booking);
}

/** Does what a world's settings say for a lost order lease: for one strategy, or for the whole world. */
export async function loseLease(
  router: AccountRouter,
  world: OrderWorld,
  strategy?: string,
): Promise<void> {
  if (world.onLeaseLost === "hold") return;
  const scope =
    strategy === undefined ? { world: world.worldId } : { world: world.worldId, strategy };
  const place = router.journalPlace(world.worldId, strategy);
  const booking = router.booking();
  booking.note("gate", place, { world: world.worldId, lease: "lost", does: world.onLeaseLost });
  booking.apply("gate", { op: "cancel", scope, protective: false }, place, router.permission);
  if (world.onLeaseLost === "flatten") {
    const bucket = router.bucketOf(world.worldId);
    const op = { op: "flatten", scope, bucket, origin: "lease_lost" } as const;
    booking.apply("gate", op, place, router.permission);
  }
  await router.commitAndSend(booking);
}

/** Strategies that are in a stage with orders. */
function stagedIn(router: AccountRouter, world: string): string[] {
  return router.core
    .strategies()
    .filter((one) => one.world === world && isInStage(one))
    .map((one) => one.strategy);
}

function hasCancellable(router: AccountRouter, world: OrderWorld): boolean {
  return router.core
    .openOrders()
    .some(
      (order) =>
        order.world === world.worldId &&
        !order.cancelRequested &&
        (order.opening || world.cancelProtective),
    );
}
