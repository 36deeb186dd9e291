import { isInStage, type OnDemote } from "@qmtl/core/execution";
import { type Activation, type GateState, modeAllowsOrders } from "@qmtl/core/gate";
import { failpoints } from "@qmtl/service-kit";
import type { AccountRouter } from "../account/account-router.ts";
import type { Booking } from "../account/booking.ts";
import type { OrderWorld, WorldShares } from "../store/order-world.ts";
import type { RouterGate } from "./router-gate.ts";

/**
 * Whether a state lets out an order that the one before it did not. Such a state is adopted only once its fence is
 * stored and the settings of its world were read; any other is adopted whatever fails.
 */
export function isOpening(before: GateState | null, after: GateState): boolean {
  if (after.gate !== "OPEN") return false;
  if (before?.gate !== "OPEN" || isUnderOtherFence(before, after)) return true;
  return after.activations.some((one) => weightOf(one) > weightOf(sameSide(before, one)));
}

/** Whether orders that a state lets out are no longer let out by a later one. */
export function isShutting(before: GateState | null, after: GateState): boolean {
  if (before?.gate !== "OPEN") return false;
  if (after.gate !== "OPEN" || isUnderOtherFence(before, after)) return true;
  return before.activations.some((one) => weightOf(one) > weightOf(sameSide(after, one)));
}

/** Every freeze raises the fence: under another one the gate was shut in between. */
function isUnderOtherFence(before: GateState, after: GateState): boolean {
  return before.fence !== after.fence || before.storeEpoch !== after.storeEpoch;
}

function sameSide(state: GateState, { strategyId, side }: Activation): Activation | undefined {
  return state.activations.find((one) => one.strategyId === strategyId && one.side === side);
}

/** Weight by which orders of a side are let out; −1 while none are. */
function weightOf(one: Activation | undefined): number {
  if (one === undefined || !one.active || one.freeze || one.drain) return -1;
  return modeAllowsOrders(one.effectiveMode) ? one.weight : -1;
}

/**
 * Cancels the working opening orders of a world, protective ones too where its settings say so: what a freeze asks for.
 * Does nothing where there are none. Call it only within an exclusive operation of the account.
 */
export async function cancelForFreeze(router: AccountRouter, world: OrderWorld): Promise<void> {
  if (!hasCancellable(router, world)) return;
  const booking = router.booking();
  booking.apply("gate", cancelOp(world), router.journalPlace(world.worldId), router.permission);
  await router.commitAndSend(booking);
}

/**
 * Does what follows from the state that a gate has adopted: notes a change of fence or gate in the journal, cancels the
 * world's working opening orders while the gate is shut, and demotes the strategies whose mode no longer lets orders
 * out. What is done already is left out, so it may be repeated until it is committed. Call it only within an exclusive
 * operation of the account.
 *
 * @param noted what the journal was told last; undefined for nothing since the start
 */
export async function followGate(
  router: AccountRouter,
  routerGate: RouterGate,
  world: OrderWorld,
  state: GateState,
  noted: Pick<GateState, "fence" | "gate"> | undefined,
): Promise<void> {
  const booking = router.booking();
  const place = router.journalPlace(world.worldId);
  const { revision, fence, gate } = state;
  if (noted?.fence !== fence || noted.gate !== gate) {
    booking.note("gate", place, { world: world.worldId, revision, fence, gate });
  }
  if (gate !== "OPEN" && hasCancellable(router, world)) {
    booking.apply("gate", cancelOp(world), place, router.permission);
  }
  for (const strategy of stagedIn(router, world.worldId)) {
    if (modeAllowsOrders(routerGate.modeOf(strategy) ?? "validate")) continue;
    demote(router, booking, world.worldId, strategy, world.onDemote);
  }
  await router.commitAndSend(booking);
  await failpoints.hit("gw.gate.after_commit");
}

/**
 * Ends the stages of a deleted world's strategies. Resolves to false, with nothing done, while the account has positions
 * or working orders of it. Call it only within an exclusive operation of the account.
 */
export async function endStages(router: AccountRouter, worldId: string): Promise<boolean> {
  if (hasOpenBooks(router, worldId)) return false;
  const booking = router.booking();
  for (const strategy of stagedIn(router, worldId)) {
    demote(router, booking, worldId, strategy, "keep");
  }
  await router.commit(booking);
  return true;
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

function demote(
  router: AccountRouter,
  booking: Booking,
  world: string,
  strategy: string,
  onDemote: OnDemote,
): void {
  const op = { op: "demote", world, strategy, onDemote, bucket: router.bucketOf(world) } as const;
  booking.apply("demote", op, router.journalPlace(world, strategy), router.permission);
}

function cancelOp(world: OrderWorld) {
  const scope = { world: world.worldId };
  return { op: "cancel", scope, protective: world.cancelProtective } as const;
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

function hasOpenBooks(router: AccountRouter, worldId: string): boolean {
  const { core } = router;
  return (
    core.books().some(({ world, quantity }) => world === worldId && quantity !== 0) ||
    core.openOrders().some(({ world }) => world === worldId)
  );
}
