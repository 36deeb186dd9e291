import { refusalReason, type TargetInput } from "@qmtl/core/execution";
import type { Tx } from "@qmtl/service-kit/db";
import type { AccountRouter } from "../account/account-router.ts";
import type { Booking } from "../account/booking.ts";
import { reasonOfRefusal, refusalOfLease } from "../account/gate-reasons.ts";
import { PermissionLost } from "../account/order-permission.ts";
import type { StatedClaim } from "../account/world-gate.ts";
import type { Halt } from "../store/halts.ts";
import type { OrderWorld } from "../store/order-world.ts";
import type { WantedWrite } from "./bucket-acks.ts";
import type { WeightBounds } from "./declared-weights.ts";

/** A target as its strategy states it. */
export interface StatedTarget {
  readonly strategy: string;
  readonly instrument: string;
  readonly value: number;
  /** Row of the bucket it was decided on, in the feed that marks its instrument or another one of the slice. */
  readonly row: number;
  /** End of the bucket it was decided on, epoch milliseconds. */
  readonly bucket: number;
  /** Watermark of its inputs; 0 for not stated. */
  readonly inputWatermark: number;
  readonly reason: string;
  /** Row at which its size was last decided; undefined for not stated. */
  readonly sizedRow?: number | undefined;
  /** How far its held weight may stray, 0 for however far; undefined: as it stands. */
  readonly drift?: number | undefined;
}

/** Outcome of one target. */
export interface TargetVerdict {
  readonly accepted: boolean;
  /** Empty when accepted and acted upon. */
  readonly reason: string;
  readonly orders: readonly string[];
  /** Position, in units, that it was cut to for lack of buying power; absent if it was not. */
  readonly reducedTo?: string;
  /** Halts that keep it from acting. */
  readonly haltIds?: readonly string[];
}

/** One call's targets, with what else is to be stored with them. */
export interface TargetsTurn {
  readonly world: OrderWorld;
  readonly claim: StatedClaim;
  readonly targets: readonly StatedTarget[];
  /** Largest target that its submission declares for each of them. */
  readonly bounds: WeightBounds;
  /** Up to when buckets have closed in the timelines of the account's feeds, milliseconds; see `BarrierEnds.closedMs`. */
  readonly closedMs: number;
  /** Stored in the same transaction; undefined for nothing. */
  readonly alongside: WantedWrite | undefined;
}

/**
 * Takes the targets of calls that came together in one transaction and sends what they need; the verdicts are in the
 * order of the calls. They are taken by world, strategy and instrument. The router keeps the latest target per strategy
 * and instrument. A target is refused when it is under another fence, without an order lease of its session, from
 * another session than the strategy's emitter, above the weight that its submission declares, of an older bucket or one
 * that has not closed yet, or older than `max_lag`. While a halt covers a
 * strategy, its target is kept and no order is made; the same while an order written too late keeps the gate shut.
 * The targets of one call are sized with the capital that a strategy has at the marks of their bucket, and those that
 * reduce what is held are taken first. One with a drift is sized again if its held weight has strayed further; while a
 * halt keeps it from acting that waits until it is stated again.
 *
 * If the gate of one world changed meanwhile, each call is taken alone. Call it only within an exclusive operation of
 * the account.
 */
export async function takeTargets(
  router: AccountRouter,
  turns: readonly TargetsTurn[],
): Promise<TargetVerdict[][]> {
  const booking = router.booking();
  const verdicts = takeInOrder(router, turns, booking);
  const stores = turns.flatMap(({ alongside }) => (alongside === undefined ? [] : [alongside]));
  const alongside = storingAll(stores);
  const isStored = (): void => {
    for (const one of stores) one.stored();
  };
  try {
    await router.commitAndSend(booking, alongside);
  } catch (failure) {
    if (!(failure instanceof PermissionLost)) throw failure;
    if (turns.length > 1) return takeEach(router, turns);
    await router.commit(router.booking(), alongside);
    isStored();
    return verdicts.map((own) =>
      own.map((verdict) =>
        verdict.accepted ? { accepted: false, reason: failure.reason, orders: [] } : verdict,
      ),
    );
  }
  isStored();
  return verdicts;
}

interface PlacedTarget {
  readonly turn: TargetsTurn;
  readonly target: StatedTarget;
  /** Index of the turn, and of the target in it. */
  readonly at: number;
  readonly place: number;
}

/** The targets of all turns by world, strategy and instrument: the same whatever order the calls came in. */
function byName(turns: readonly TargetsTurn[]): PlacedTarget[] {
  const all = turns.flatMap((turn, at) =>
    turn.targets.map((target, place) => ({ turn, target, at, place })),
  );
  if (all.length < 2) return all;
  return all.sort(
    (a, b) =>
      byText(a.turn.world.worldId, b.turn.world.worldId) ||
      byText(a.target.strategy, b.target.strategy) ||
      byText(a.target.instrument, b.target.instrument) ||
      a.at - b.at ||
      a.place - b.place,
  );
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function takeEach(
  router: AccountRouter,
  turns: readonly TargetsTurn[],
): Promise<TargetVerdict[][]> {
  const verdicts: TargetVerdict[][] = [];
  for (const turn of turns) verdicts.push(...(await takeTargets(router, [turn])));
  return verdicts;
}

function storingAll(stores: readonly WantedWrite[]): ((tx: Tx) => Promise<void>) | undefined {
  if (stores.length === 0) return undefined;
  return async (tx) => {
    await Promise.all(stores.map((store) => store.write(tx)));
  };
}

/** A target that is not refused, as the core takes it. */
interface TargetDecision extends TargetInput {
  /** Index of its call, and its own among the targets of the call. */
  readonly at: number;
  readonly place: number;
  readonly act: boolean;
  readonly capital: number;
  readonly halts: readonly Halt[];
  /** An order written too late keeps its gate shut. */
  readonly isShut: boolean;
}

/**
 * Takes the targets of all calls; the verdicts are in the order of the calls. They are taken in an order in which what
 * is closed makes room for what is opened, and where the account's money does not allow all of it, each opens the same
 * share.
 */
function takeInOrder(
  router: AccountRouter,
  turns: readonly TargetsTurn[],
  booking: Booking,
): TargetVerdict[][] {
  const verdicts = turns.map((): TargetVerdict[] => []);
  const decisions: TargetDecision[] = [];
  for (const { turn, target, at, place } of byName(turns)) {
    const decision = refuse(router, turn, target) ?? decide(router, turn, target, at, place);
    if (typeof decision !== "string") decisions.push(decision);
    else verdicts[at]![place] = { accepted: false, reason: decision, orders: [] };
  }
  const { order, cut } = router.core.planTargets(decisions);
  for (const index of order) {
    const decision = decisions[index]!;
    const { at, place } = decision;
    verdicts[at]![place] = takeOne(router, turns[at]!, { ...decision, ...cut }, booking);
  }
  return verdicts;
}

/** How a target is to be taken; MARK_INVALID without a mark. */
function decide(
  router: AccountRouter,
  { world }: TargetsTurn,
  target: StatedTarget,
  at: number,
  place: number,
): TargetDecision | "MARK_INVALID" {
  const { strategy, instrument, bucket, sizedRow, drift } = target;
  const id = { world: world.worldId, strategy, instrument };
  const mark = router.market.closeAt(instrument, bucket);
  if (mark === undefined) return "MARK_INVALID";
  const halts = router.deps.halts.allCovering({ account: router.account, ...id });
  const gate = router.deps.worlds.gateOf(world.worldId);
  const isShut = gate?.isShutByLateOrder === true;
  const weight = gate?.weightOf(strategy, target.value) ?? 0;
  const value = target.value * weight;
  const notionalMin = router.notionalMinOf(instrument);
  const capital = router.core.capital(world.worldId, strategy, (held) =>
    router.market.closeAt(held, bucket),
  );
  const act = halts.length === 0 && !isShut;
  const isSame = drift !== 0 && router.core.book(id)?.target?.value === value;
  const resize = act && isSame && router.core.hasStrayed(id, mark, capital);
  return {
    ...id,
    ...{ at, place, value, bucket, mark, capital, act, halts, isShut },
    ...(notionalMin === undefined ? {} : { notionalMin }),
    ...(sizedRow === undefined ? {} : { sizedRow }),
    ...(drift === undefined ? {} : { drift }),
    ...(resize ? { resize } : {}),
  };
}

function takeOne(
  router: AccountRouter,
  { world, claim, targets }: TargetsTurn,
  decision: TargetDecision,
  booking: Booking,
): TargetVerdict {
  const { at: _, place, halts, isShut, ...input } = decision;
  const { strategy } = input;
  const stated = targets[place]!;
  if (isStanding(router, input)) return { accepted: true, reason: "", orders: [] };
  const before = booking.made.length;
  const refusedBefore = booking.refused.length;
  const { target: outcome } = booking.apply(
    "target",
    { op: "set_target", ...input, session: claim.sessionId, reason: stated.reason },
    router.journalPlace(world.worldId, strategy),
    router.permission,
  );
  const made = booking.made.slice(before);
  const refused = booking.refused.slice(refusedBefore)[0];
  const rejected = made.find(({ order }) => order.state === "rejected")?.order;
  const orders = made.map(({ order }) => order.id);
  if (outcome === "bad_mark") return { accepted: false, reason: "MARK_INVALID", orders };
  if (outcome !== "applied") return { accepted: false, reason: "NOT_ACTIVE", orders };
  if (halts.length > 0) {
    return { accepted: true, reason: "HALTED", orders, haltIds: halts.map(({ haltId }) => haltId) };
  }
  if (isShut) return { accepted: true, reason: "GATE_SHUT", orders };
  if (refused !== undefined) {
    const reason = refusalReason(refused.reason);
    if (reason !== "REDUCED_TO_BUYING_POWER") return { accepted: true, reason, orders };
    return { accepted: true, reason, orders, reducedTo: router.targetQuantity(input) };
  }
  const hasCapital = stated.value === 0 || (router.core.capital(world.worldId, strategy) ?? 0) > 0;
  return { accepted: true, reason: rejected?.reason ?? (hasCapital ? "" : "NO_CAPITAL"), orders };
}

/**
 * Whether a target with a drift is the standing one, nothing has strayed and nothing is missing. It is stated at the end
 * of every bucket, and then there is nothing to journal.
 */
function isStanding(
  { core }: AccountRouter,
  input: Omit<TargetDecision, "at" | "place" | "halts" | "isShut">,
) {
  const { value, drift, sizedRow = -1, notionalMin = 0, act, resize = false } = input;
  const standing = core.book(input)?.target;
  if (standing?.drift === undefined || !act || resize) return false;
  return (
    value === standing.value &&
    (drift === undefined || drift === standing.drift) &&
    sizedRow <= (standing.sizedRow ?? -1) &&
    notionalMin === (standing.notionalMin ?? 0) &&
    core.missingLots(input) === 0
  );
}

function refuse(
  router: AccountRouter,
  { world, claim, bounds, closedMs }: TargetsTurn,
  target: StatedTarget,
): string | undefined {
  const { strategy, instrument, bucket } = target;
  const gate = router.deps.worlds.gateOf(world.worldId);
  if (gate === undefined) return "GATE_SHUT";
  const halt = router.deps.halts.covering({
    account: router.account,
    world: world.worldId,
    strategy,
  });
  const refusal = gate.checkStrategy({ strategyId: strategy, ...claim });
  // A halt, or a late order, latches the gate; the target is kept all the same, for the catch-up.
  const isHalted = refusal === "HALTED" && halt !== undefined;
  const kept =
    refusal === "LATE_WRITE" ? gate.checkKept({ strategyId: strategy, ...claim }) : refusal;
  if (kept !== null && !isHalted) return reasonOfRefusal[kept];
  const shut = refusalOfLease(claim);
  if (shut !== undefined) return shut;
  if (router.core.isRuined) return "ACCOUNT_RUINED";
  if (!router.core.knows(instrument)) return "INSTRUMENT_NOT_FOUND";
  const weightMax = bounds.get(strategy)?.get(instrument);
  if (weightMax !== undefined && Math.abs(target.value) > weightMax) return "OVER_LIMIT";
  const account = router.core
    .strategies()
    .find((one) => one.world === world.worldId && one.strategy === strategy);
  if (account === undefined || account.demoted !== null) return "NOT_ACTIVE";
  const latest = router.core.book({ world: world.worldId, strategy, instrument })?.target;
  if (latest != null && bucket < latest.bucket) return "BUCKET_STALE";
  const now = router.dataNow(world);
  // Kept, it would keep every target of the buckets until then from being taken.
  if (bucket > Math.max(now, closedMs, router.market.lastRowMs)) return "MARK_INVALID";
  const dataEnd = target.inputWatermark > 0 ? Math.min(bucket, target.inputWatermark) : bucket;
  return now - dataEnd > world.maxLagMs ? "BUCKET_STALE" : undefined;
}
