import { LOT_TOLERANCE, lotsCutOff } from "./lots.ts";
import type { RouterCore } from "./router-core.ts";
import type { TargetInput } from "./router-options.ts";
import { type BookId, remainingLots } from "./router-order.ts";
import { isSizedAnew, standingTarget } from "./target-sizing.ts";

/** How the targets of one moment are taken, so that neither their order nor their names decide what each may open. */
export interface TargetMoment {
  /**
   * Indexes of the targets in the order in which they are to be taken: first those that only reduce what is held, then
   * those that turn it, then those that open.
   */
  readonly order: readonly number[];
  /** What each of them is to be taken with, where the account's money does not allow all that they open. */
  readonly cut: OpeningLimits;
}

/** What of a target is opened; without fields: all of it. */
type OpeningLimits = Pick<TargetInput, "openShare" | "openTolerance">;

/** Lots that a target leads to. */
interface Step {
  readonly instrument: string;
  /** Held and working now. */
  readonly from: number;
  /** What is left if nothing is opened. */
  readonly kept: number;
  readonly to: number;
}

/**
 * Plans the targets of one moment, before any of them is taken. Where all of them together exceed the buying power of
 * the account, each opens the same share of what it wants.
 */
export function planTargets(core: RouterCore, targets: readonly TargetInput[]): TargetMoment {
  const places = targets.map((_, index) => index);
  if (targets.length < 2 || hasTwice(targets)) return { order: places, cut: {} };
  const steps = targets.map((target) => stepOf(core, target));
  const ranks = steps.map(takingRank);
  const order = places.sort((a, b) => ranks[a]! - ranks[b]!);
  const { money } = core.ledger;
  if (money === undefined) return { order, cut: {} };
  const held = core.netLots();
  const [all, kept] = [new Map(held), new Map(held)];
  for (const { instrument, from, kept: left, to } of steps) {
    add(all, instrument, to - from);
    add(kept, instrument, left - from);
  }
  const limit = money.leverageMax * core.equity();
  let worst = 0;
  for (const [symbol, lots] of all) {
    worst += core.valueOf(symbol, Math.max(Math.abs(lots), Math.abs(held.get(symbol) ?? 0)));
  }
  if (worst <= limit) return { order, cut: {} };
  const [grossAll, grossKept] = [grossOf(core, all), grossOf(core, kept)];
  const isTooMuch = grossAll > limit && grossAll > grossKept;
  const isShared = steps.filter(({ kept: left, to }) => left !== to).length > 1;
  if (!isTooMuch || !isShared) return { order, cut: {} };
  const openShare = Math.max(0, (limit - grossKept) / (grossAll - grossKept));
  return { order, cut: { openShare, openTolerance: LOT_TOLERANCE } };
}

/** Lots of a target of which only a share of what it opens is to be opened, in whole lots. */
export function openedLots(
  expected: number,
  lots: number,
  share: number,
  tolerance = LOT_TOLERANCE,
): number {
  const kept = keptLots(expected, lots);
  const opened = kept + lotsCutOff((lots - kept) * share, tolerance);
  return opened === 0 ? 0 : opened;
}

/** 0: it only reduces; 1: it turns the side; 2: it only opens, or changes nothing. */
function takingRank({ from, to }: Step): number {
  if (from === 0 || to === from) return 2;
  if (to !== 0 && to > 0 !== from > 0) return 1;
  return Math.abs(to) < Math.abs(from) ? 0 : 2;
}

function stepOf(core: RouterCore, target: TargetInput): Step {
  const { instrument, value, mark } = target;
  const { ledger } = core;
  const account = ledger.strategy(target.world, target.strategy);
  const book = ledger.findBook(target);
  let from = book?.quantity ?? 0;
  if (book !== undefined) for (const order of book.working) from += remainingLots(order);
  if (account === undefined || account.demoted !== null || !Number.isFinite(value)) {
    return { instrument, from, kept: from, to: from };
  }
  const latest = book?.target ?? null;
  const isAnew = latest === null || isSizedAnew(target, latest);
  const { lotUnit } = ledger.instrument(instrument);
  const lots =
    isAnew && !(mark > 0)
      ? keptLots(from, value)
      : standingTarget(target, latest, target.capital ?? ledger.capital(account), lotUnit).lots;
  const isShort = ledger.money?.kind === "cash" && lots < 0;
  return { instrument, from, kept: keptLots(from, lots), to: isShort ? 0 : lots };
}

/** Whether two of them are of one book: then the later one counts, and they stay in their order. */
function hasTwice(targets: readonly BookId[]): boolean {
  const keys = targets.map(({ world, strategy, instrument }) =>
    JSON.stringify([world, strategy, instrument]),
  );
  return new Set(keys).size < keys.length;
}

/** What of `expected` lots is left on the way to `lots` before anything is opened. */
function keptLots(expected: number, lots: number): number {
  if (expected === 0 || lots === 0 || lots > 0 !== expected > 0) return 0;
  return Math.abs(lots) < Math.abs(expected) ? lots : expected;
}

function add(net: Map<string, number>, instrument: string, lots: number): void {
  net.set(instrument, (net.get(instrument) ?? 0) + lots);
}

function grossOf(core: RouterCore, net: ReadonlyMap<string, number>): number {
  let gross = 0;
  for (const [symbol, lots] of net) gross += core.valueOf(symbol, Math.abs(lots));
  return gross;
}
