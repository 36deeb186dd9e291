import type { BookId } from "@qmtl/core/execution";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Tx } from "@qmtl/service-kit/db";
import type { AccountRouter } from "../account/account-router.ts";
import type { OutgoingOrder } from "../account/booking.ts";

/** A change of one book; lots signed. */
interface PlannedDelta {
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  readonly lots: number;
}

/** A trade between two strategies at the plan's mark; lots above 0. */
interface PlannedCross {
  readonly instrument: string;
  readonly lots: number;
  readonly price: number;
  readonly buyer: { readonly world: string; readonly strategy: string };
  readonly seller: { readonly world: string; readonly strategy: string };
}

/** What WorldService planned from this account's books. */
export interface RebalancePlan {
  readonly accountRevision: number;
  readonly isExecutable: boolean;
  readonly deltas: readonly PlannedDelta[];
  readonly crosses: readonly PlannedCross[];
  readonly shares: readonly {
    readonly world: string;
    readonly strategy: string;
    readonly share: number;
  }[];
}

interface SubmittedPlan {
  readonly batchId: string;
  readonly plan: RebalancePlan;
  /** Why and by whom, for the journal. */
  readonly reason: string;
  readonly principal: string;
  /** Worlds whose capital moves. */
  readonly worlds: readonly string[];
  /** Stores the answer in the transaction of the batch. */
  readonly keep: (orders: readonly OutgoingOrder[]) => (tx: Tx) => Promise<void>;
}

/**
 * Executes a plan. One transaction stores the batch id, the capital of every strategy, the crosses at the plan's mark
 * without costs, the new fixed quantities, and the orders for what is left; then the crosses are transferred between
 * the broker's sub-accounts and the orders are sent. Call it only within an exclusive operation of the account.
 *
 * @throws {QmtlError} PLAN_NOT_EXECUTABLE, ACCOUNT_REVISION_STALE, ACCOUNT_UNRECONCILED, HALTED, GATE_SHUT
 */
export async function submitPlan(
  router: AccountRouter,
  { batchId, plan, reason, principal, worlds, keep }: SubmittedPlan,
): Promise<OutgoingOrder[]> {
  refuse(router, plan, worlds);
  const bucket = Math.max(...worlds.map((world) => router.bucketOf(world)));
  const booking = router.booking();
  const equity = router.core.equity();
  booking.note("allocation", router.journalPlace(worlds[0] ?? ""), {
    batch: batchId,
    reason,
    principal,
  });
  for (const { world, strategy, share } of plan.shares) {
    const input = { world, strategy, share, equity };
    const place = router.journalPlace(world, strategy);
    booking.apply("allocation", { op: "allocate", input, bucket }, place, router.permission);
  }
  for (const cross of plan.crosses) {
    booking.note("cross", router.journalPlace(cross.buyer.world, cross.buyer.strategy), { cross });
  }
  const crosses = plan.crosses.flatMap(sidesOf);
  const input = { batchId, bucket, crosses, quantities: quantitiesOf(router, plan, worlds) };
  booking.apply(
    "allocation",
    { op: "rebalance", input },
    router.journalPlace(worlds[0] ?? ""),
    router.permission,
  );
  await router.commit(booking, keep(booking.sends));
  router.rebalances.push({ batchId, crosses });
  await router.deps.broker.transfer(batchId, crosses);
  router.rebalanceTransferred(batchId);
  await router.send(booking);
  return booking.sends;
}

/** The quantity that each book of the plan is to hold: books with a target, and others that the plan changes. */
function quantitiesOf(router: AccountRouter, plan: RebalancePlan, worlds: readonly string[]) {
  const { core } = router;
  return core
    .books()
    .filter((book) => worlds.includes(book.world))
    .flatMap((book) => {
      const delta = plan.deltas.find((one) => isOf(one, book))?.lots ?? 0;
      if (book.target === null && delta === 0) return [];
      const { world, strategy, instrument } = book;
      const lots = book.quantity + core.workingLots(book) + delta;
      return [{ world, strategy, instrument, lots }];
    });
}

function isOf(one: BookId, book: BookId): boolean {
  return (
    one.world === book.world && one.strategy === book.strategy && one.instrument === book.instrument
  );
}

function sidesOf({ instrument, lots, price, buyer, seller }: PlannedCross) {
  return [
    { ...buyer, instrument, lots, price },
    { ...seller, instrument, lots: -lots, price },
  ];
}

function refuse(router: AccountRouter, plan: RebalancePlan, worlds: readonly string[]): void {
  const { account, head, difference, deps } = router;
  if (!plan.isExecutable) {
    throw new QmtlError("PLAN_NOT_EXECUTABLE", "the plan was not made from this gateway's books");
  }
  if (plan.accountRevision !== head) {
    throw new QmtlError(
      "ACCOUNT_REVISION_STALE",
      `the plan is of revision ${plan.accountRevision}, but the account is at ${head}`,
      { metadata: { account_revision: String(head) } },
    );
  }
  if (router.core.isRuined) {
    throw new QmtlError("PLAN_NOT_EXECUTABLE", "the account is ruined: it opens nothing any more");
  }
  if (difference !== "") throw new QmtlError("ACCOUNT_UNRECONCILED", difference);
  for (const world of worlds) {
    const halt = deps.halts.covering({ account, world, strategy: "" });
    if (halt !== undefined) throw new QmtlError("HALTED", `halted: ${halt.reason}`);
    if (deps.worlds.gateOf(world)?.isArmed !== true) {
      throw new QmtlError("GATE_SHUT", `the gate of world ${world} is shut`, {
        metadata: { world_id: world },
      });
    }
  }
}
