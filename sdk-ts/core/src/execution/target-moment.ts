import type { RouterCore } from "./router-core.ts";
import type { TargetInput } from "./router-options.ts";
import { type BookId, remainingLots } from "./router-order.ts";
import { targetLots } from "./sizing.ts";

/** How the targets of one moment are taken, so that neither their order nor their names decide what each may open. */
export interface TargetMoment {
  /** Indexes of the targets in the order in which they are to be taken: reductions first where it matters. */
  readonly order: readonly number[];
  /** Share of what each of them opens that the account's money allows, 0…1. */
  readonly openShare: number;
}

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
export function planTargets(
  core: RouterCore,
  targets: readonly Pick<TargetInput, "world" | "strategy" | "instrument" | "value" | "mark">[],
): TargetMoment {
  const asGiven = { order: targets.map((_, index) => index), openShare: 1 };
  const { money } = core.ledger;
  if (money === undefined || targets.length < 2 || hasTwice(targets)) return asGiven;
  const steps = targets.map((target) => stepOf(core, target));
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
  if (worst <= limit) return asGiven;
  const isReducing = ({ from, to }: Step): boolean => Math.abs(to) < Math.abs(from);
  const order = asGiven.order.toSorted(
    (a, b) => Number(isReducing(steps[b]!)) - Number(isReducing(steps[a]!)),
  );
  const [grossAll, grossKept] = [grossOf(core, all), grossOf(core, kept)];
  const isTooMuch = grossAll > limit && grossAll > grossKept;
  const isShared = steps.filter(({ kept: left, to }) => left !== to).length > 1;
  const openShare =
    isTooMuch && isShared ? Math.max(0, (limit - grossKept) / (grossAll - grossKept)) : 1;
  return { order, openShare };
}

/** Lots of a target of which only a share of what it opens is to be opened. */
export function openedLots(expected: number, lots: number, share: number): number {
  const kept = keptLots(expected, lots);
  const opened = kept + Math.trunc((lots - kept) * share);
  return opened === 0 ? 0 : opened;
}

function stepOf(
  core: RouterCore,
  target: Pick<TargetInput, "world" | "strategy" | "instrument" | "value" | "mark">,
): Step {
  const { instrument, value, mark } = target;
  const { ledger, orders } = core;
  const account = ledger.strategy(target.world, target.strategy);
  const book = ledger.findBook(target);
  let from = book?.quantity ?? 0;
  if (book !== undefined) for (const order of orders.openOf(book)) from += remainingLots(order);
  if (account === undefined || account.demoted !== null || !Number.isFinite(value)) {
    return { instrument, from, kept: from, to: from };
  }
  const latest = book?.target;
  const { lotUnit } = ledger.instrument(instrument);
  const lots =
    latest != null && latest.value === value
      ? latest.lots
      : mark > 0
        ? targetLots(value, ledger.capital(account), mark, lotUnit)
        : keptLots(from, value);
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
