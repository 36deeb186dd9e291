import { wholeLots } from "../lots.ts";
import { crossInternally, type InternalCross, type ResidualDelta } from "./internal-cross.ts";
import { checkMarks, instrumentKey, type MarkRefusal, type PlanMark } from "./plan-marks.ts";

/** A book as the plan sees it, in whole lots. */
export interface TargetBook {
  readonly worldId: string;
  readonly strategyId: string;
  readonly venue: string;
  readonly symbol: string;
  readonly positionLots: number;
  /** Signed lots of working orders, unknown ones counted whole. */
  readonly workingLots: number;
  /** Latest target, a fraction of the strategy's capital; undefined when the strategy sent none: stays as it is. */
  readonly targetValue: number | undefined;
}

/** Terms of notional = lots × lot size × mark × multiplier × FX. A missing one refuses the plan. */
export interface PlanInstrument {
  readonly venue: string;
  readonly symbol: string;
  readonly lotSize: number;
  readonly multiplier: number;
  /** Account currency per unit of the quote currency. */
  readonly fxRate: number;
  /** Least notional of a change of one book, account currency. @default 0 */
  readonly notionalMin?: number;
}

export interface TargetsPlanInput {
  /** Revision of the account the books were read at, and the one the caller saw. */
  readonly accountRevision: number;
  readonly expectedAccountRevision: number;
  /** Equity of the reconciled account. */
  readonly equity: number;
  readonly worldShares: ReadonlyMap<string, number>;
  /** Shares of their world, by world, then strategy. */
  readonly strategyShares: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly books: readonly TargetBook[];
  readonly instruments: readonly PlanInstrument[];
  readonly marks: readonly PlanMark[];
  readonly nowMs: number;
  readonly markAgeMsMax: number;
  /** Least notional of a change of one book, account currency. @default that of each instrument */
  readonly tradeNotionalMin?: number;
}

export type TargetsRefusal =
  | MarkRefusal
  | "ACCOUNT_REVISION_STALE"
  | "ALLOCATION_OUT_OF_RANGE"
  | "ALLOCATION_SUM_ABOVE_ONE"
  | "EQUITY_NOT_POSITIVE"
  | "TERM_MISSING";

/** What the plan makes of one book. */
export interface PlannedBook {
  readonly worldId: string;
  readonly strategyId: string;
  readonly venue: string;
  readonly symbol: string;
  readonly desiredLots: number;
  /** desired − position − working. */
  readonly deltaLots: number;
}

/** The account's net trade outside in one instrument. */
export interface ExternalDelta {
  readonly venue: string;
  readonly symbol: string;
  readonly lots: number;
  /** The books it is for; all of one sign, summing to `lots`. */
  readonly residuals: readonly ResidualDelta[];
}

export type TargetsPlan =
  | {
      readonly ok: true;
      readonly accountRevision: number;
      readonly books: readonly PlannedBook[];
      /** Trades between books at the plan's mark; they net to 0 per instrument. */
      readonly crosses: readonly InternalCross[];
      /** Reductions of the account's net position first, then by venue and symbol. */
      readonly externals: readonly ExternalDelta[];
    }
  | { readonly ok: false; readonly reason: TargetsRefusal; readonly detail: string };

const RATIO_TOLERANCE = 1e-9;

/**
 * Rebalances to targets: desired = target × strategy share × world share × equity ÷ (mark × lot × multiplier ×
 * FX), whole lots toward zero, exactly 0 for a target or share of 0. It funds a world from nothing as well.
 *
 * A book whose change is worth less than the least notional stays as it is; an exit is never left out.
 *
 * delta = desired − position − working. Deltas of one instrument that oppose each other are crossed inside, at
 * the mark; the rest, all of one sign, is external, and Σ crosses + external = Σ deltas for every book.
 */
export function planTargets(input: TargetsPlanInput): TargetsPlan {
  const refusal = refuse(input);
  if (refusal !== undefined) {
    return { ok: false, ...refusal };
  }
  const marks = checkMarks(input.marks, input.books, input.nowMs, input.markAgeMsMax);
  if (!marks.ok) {
    return { ok: false, reason: marks.reason, detail: `${marks.venue} ${marks.symbol}` };
  }
  const instruments = new Map(
    input.instruments.map((one) => [instrumentKey(one.venue, one.symbol), one]),
  );
  const books: PlannedBook[] = [];
  for (const book of input.books) {
    const key = instrumentKey(book.venue, book.symbol);
    const notional = notionalOfLot(instruments.get(key), marks.prices.get(key));
    if (notional === undefined) {
      const detail = `lot size, multiplier or FX rate of ${book.venue} ${book.symbol}`;
      return { ok: false, reason: "TERM_MISSING", detail };
    }
    const notionalMin = input.tradeNotionalMin ?? instruments.get(key)?.notionalMin ?? 0;
    books.push(planBook(book, input, { ofLot: notional, min: notionalMin }));
  }
  return {
    ok: true,
    accountRevision: input.accountRevision,
    books,
    ...split(books, input, marks.prices),
  };
}

function refuse(input: TargetsPlanInput): { reason: TargetsRefusal; detail: string } | undefined {
  if (input.accountRevision !== input.expectedAccountRevision) {
    const detail = `expected ${input.expectedAccountRevision}, account is at ${input.accountRevision}`;
    return { reason: "ACCOUNT_REVISION_STALE", detail };
  }
  if (!(input.equity > 0) || !Number.isFinite(input.equity)) {
    return { reason: "EQUITY_NOT_POSITIVE", detail: `equity ${input.equity}` };
  }
  const sets: [string, ReadonlyMap<string, number>][] = [
    ["worlds", input.worldShares],
    ...[...input.strategyShares].map(([world, shares]): [string, ReadonlyMap<string, number>] => [
      `strategies of ${world}`,
      shares,
    ]),
  ];
  for (const [name, shares] of sets) {
    const values = [...shares.values()];
    if (values.some((share) => !(share >= 0 && share <= 1))) {
      return { reason: "ALLOCATION_OUT_OF_RANGE", detail: name };
    }
    if (values.reduce((sum, share) => sum + share, 0) > 1 + RATIO_TOLERANCE) {
      return { reason: "ALLOCATION_SUM_ABOVE_ONE", detail: name };
    }
  }
  return undefined;
}

function notionalOfLot(
  instrument: PlanInstrument | undefined,
  mark: number | undefined,
): number | undefined {
  if (instrument === undefined || mark === undefined) {
    return undefined;
  }
  const notional = instrument.lotSize * mark * instrument.multiplier * instrument.fxRate;
  return notional > 0 && Number.isFinite(notional) ? notional : undefined;
}

function planBook(
  book: TargetBook,
  input: TargetsPlanInput,
  notional: { readonly ofLot: number; readonly min: number },
): PlannedBook {
  const { worldId, strategyId, venue, symbol, positionLots, workingLots, targetValue } = book;
  const share =
    (input.worldShares.get(worldId) ?? 0) *
    (input.strategyShares.get(worldId)?.get(strategyId) ?? 0);
  const now = positionLots + workingLots;
  const wanted =
    share === 0
      ? 0
      : targetValue === undefined
        ? now
        : wholeLots((targetValue * share * input.equity) / notional.ofLot);
  const isTooSmall = wanted !== 0 && Math.abs(wanted - now) * notional.ofLot < notional.min;
  const desiredLots = isTooSmall ? now : wanted;
  return { worldId, strategyId, venue, symbol, desiredLots, deltaLots: desiredLots - now };
}

function split(
  books: readonly PlannedBook[],
  input: TargetsPlanInput,
  prices: ReadonlyMap<string, number>,
): { crosses: InternalCross[]; externals: ExternalDelta[] } {
  const byInstrument = new Map<string, PlannedBook[]>();
  for (const book of books) {
    const key = instrumentKey(book.venue, book.symbol);
    byInstrument.set(key, [...(byInstrument.get(key) ?? []), book]);
  }
  const crosses: InternalCross[] = [];
  const externals: ExternalDelta[] = [];
  for (const [key, group] of byInstrument) {
    const { venue, symbol } = group[0]!;
    const result = crossInternally(group, prices.get(key)!);
    crosses.push(...result.crosses);
    const lots = result.residuals.reduce((sum, residual) => sum + residual.lots, 0);
    if (lots !== 0) {
      externals.push({ venue, symbol, lots, residuals: result.residuals });
    }
  }
  const isReduction = (external: ExternalDelta): boolean => {
    const held = input.books
      .filter((book) => book.venue === external.venue && book.symbol === external.symbol)
      .reduce((sum, book) => sum + book.positionLots, 0);
    return held !== 0 && held > 0 !== external.lots > 0;
  };
  const order = (external: ExternalDelta): string =>
    `${isReduction(external) ? 0 : 1}${instrumentKey(external.venue, external.symbol)}`;
  externals.sort((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0));
  return { crosses, externals };
}
