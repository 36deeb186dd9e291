/** A mark as it comes over the wire. */
export interface PlanMark {
  readonly venue: string;
  readonly symbol: string;
  readonly price: number;
  /** When the price was valid, epoch milliseconds. */
  readonly timeMs: number;
}

export type MarkRefusal = "MARK_MISSING" | "MARK_STALE" | "MARK_DISAGREES" | "MARK_NOT_POSITIVE";

/** Marks by `instrumentKey`, or the first mark that refuses the plan. */
export type CheckedMarks =
  | { readonly ok: true; readonly prices: ReadonlyMap<string, number> }
  | {
      readonly ok: false;
      readonly reason: MarkRefusal;
      readonly venue: string;
      readonly symbol: string;
    };

/** Key of an instrument at a venue; no choice of names collides. */
export function instrumentKey(venue: string, symbol: string): string {
  return JSON.stringify([venue, symbol]);
}

/**
 * One price per (venue, symbol): refuses a mark that is not above 0, older than `ageMsMax` or from the future
 * by more than that, and two marks of one instrument that differ in price.
 */
export function checkMarks(
  marks: readonly PlanMark[],
  needed: readonly { readonly venue: string; readonly symbol: string }[],
  nowMs: number,
  ageMsMax: number,
): CheckedMarks {
  const prices = new Map<string, number>();
  for (const { venue, symbol, price, timeMs } of marks) {
    const key = instrumentKey(venue, symbol);
    const known = prices.get(key);
    if (!(price > 0) || !Number.isFinite(price)) {
      return { ok: false, reason: "MARK_NOT_POSITIVE", venue, symbol };
    }
    if (!(Math.abs(nowMs - timeMs) <= ageMsMax)) {
      return { ok: false, reason: "MARK_STALE", venue, symbol };
    }
    if (known !== undefined && known !== price) {
      return { ok: false, reason: "MARK_DISAGREES", venue, symbol };
    }
    prices.set(key, price);
  }
  for (const { venue, symbol } of needed) {
    if (!prices.has(instrumentKey(venue, symbol))) {
      return { ok: false, reason: "MARK_MISSING", venue, symbol };
    }
  }
  return { ok: true, prices };
}
