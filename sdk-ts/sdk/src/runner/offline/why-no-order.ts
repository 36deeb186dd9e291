import type { MarketInstrument } from "./market.ts";
import type { OfflineTrading } from "./trade.ts";

/** An instrument that a target wanted, and what came of it. */
interface Wanted {
  readonly instrument: Pick<MarketInstrument, "traded">;
  /** Its last close; NaN without one. */
  readonly mark: number;
  /** What the target may have cost. */
  readonly money: number;
  readonly currency: string;
}

/** Why nothing of an instrument was traded, though a target wanted it, as the end of a sentence. */
export function whyNoOrder(
  { instrument: { traded }, mark, money, currency }: Wanted,
  { orders, refusals }: Pick<OfflineTrading, "orders" | "refusals">,
): string {
  const { symbol, lotSize, multiplier = 1 } = traded;
  const reasons = new Set(
    refusals.filter(({ instrument }) => instrument === symbol).map(({ reason }) => reason),
  );
  if (reasons.size > 0) return reasonText([...reasons].sort());
  if (orders.some(({ instrument }) => instrument === symbol))
    return "its order found no bar on which it could fill";
  const lotPrice = Number(lotSize) * multiplier * mark;
  if (lotPrice > money)
    return `a lot of ${lotSize} costs ${shown(lotPrice)} ${currency}, more than the ${shown(money)} there are`;
  return "no order could be made of it: too small for a lot, or on the last bar only";
}

function reasonText(reasons: readonly string[]): string {
  const known: Readonly<Record<string, string>> = {
    OVER_LIMIT: "the limits of the account forbid it",
    BELOW_MINIMUM: "an order of it is worth less than min_notional",
    REDUCED_TO_BUYING_POWER: "the account has no buying power for it",
    MARK_INVALID: "its price is 0 or less",
    MARGIN_CALL: "the account lacks margin",
  };
  return reasons.map((reason) => `${known[reason] ?? "it was refused"} (${reason})`).join(", ");
}

function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}
