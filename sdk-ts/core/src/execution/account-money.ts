import type { FinancingTerms } from "./financing.ts";

/** Money rules of an account: what its positions may be worth, measured against its equity, and what holding them costs. */
export interface AccountMoney {
  /** `cash`: no borrowed money and no shorts, so that `leverageMax` is 1. */
  readonly kind: "cash" | "margin";
  /** Largest gross exposure ÷ equity that an opening order may lead to; above 0. */
  readonly leverageMax: number;
  /** Share of its gross exposure that equity must keep: below it, positions are reduced. @default 0: none are */
  readonly maintenance?: number;
  /** Largest exposure in one instrument ÷ equity, by symbol. An instrument that is absent has `leverageMax`. */
  readonly instrumentLeverageMax?: Readonly<Record<string, number>>;
  /** What holding cash and short positions costs. @default nothing */
  readonly financing?: FinancingTerms;
}

/** What an account of which nothing is stated may do: its exposure is at most its equity. */
export const UNLEVERAGED: AccountMoney = { kind: "margin", leverageMax: 1 };

/** Relative slack of the rules, for float noise. */
const TOLERANCE = 1e-9;

/**
 * Share by which a fill may exceed the buying power that its order was made with. An order is sized at the last close
 * and fills at the next open: small differences between the two, and the costs of the fill, are not cut. Beyond it the
 * fill is cut to the buying power at its own price.
 */
export const FILL_SLACK = 0.05;

/** An account at the moment of an order in one instrument. Money is in the account's currency. */
export interface Exposure {
  /** Cash plus positions. */
  readonly equity: number;
  /** Σ over the other instruments of |net lots held and working| × value of a lot. */
  readonly otherGross: number;
  /** Net lots of the instrument held and working, without the order. */
  readonly netLots: number;
  /** |Value| of a lot of the instrument. */
  readonly lotValue: number;
}

/**
 * The part of an order's lots that buying power allows, toward zero. What does not raise exposure is always allowed.
 *
 * @param lots signed
 * @param slack share by which exposure may exceed the rules before anything is cut. @default 0
 * @returns signed whole lots; NaN if a price is missing
 */
export function lotsWithinPower(
  money: AccountMoney,
  instrument: string,
  lots: number,
  { equity, otherGross, netLots, lotValue }: Exposure,
  slack = 0,
): number {
  const after = netLots + lots;
  const isRaising = Math.abs(after) > Math.abs(netLots);
  if (!isRaising) return lots;
  const side = lots > 0 ? 1 : -1;
  if (money.kind === "cash" && side < 0) return wholeOf(-Math.max(netLots, 0));
  const ownMax = (money.instrumentLeverageMax?.[instrument] ?? money.leverageMax) * equity;
  const room = Math.min(money.leverageMax * equity - otherGross, ownMax);
  const value = Math.abs(after) * lotValue;
  if (Number.isNaN(room) || Number.isNaN(value)) return Number.NaN;
  if (value <= (room + slack * Math.max(equity, 0)) * (1 + TOLERANCE)) return lots;
  const lotsMax = room > 0 ? Math.floor((room / lotValue) * (1 + TOLERANCE)) : 0;
  const allowed = Math.max(lotsMax - side * netLots, Math.max(-side * netLots, 0));
  return wholeOf(side * Math.min(allowed, Math.abs(lots)));
}

/** The number, without the sign of a zero. */
function wholeOf(lots: number): number {
  return lots === 0 ? 0 : lots;
}
