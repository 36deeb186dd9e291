import { shareProRata } from "./pro-rata.ts";

/** What a book wants in one instrument, signed whole lots. */
export interface BookDelta {
  readonly worldId: string;
  readonly strategyId: string;
  readonly venue: string;
  readonly symbol: string;
  readonly deltaLots: number;
}

/** One book's side of internal trades. */
export interface InternalCross {
  readonly worldId: string;
  readonly strategyId: string;
  readonly venue: string;
  readonly symbol: string;
  readonly lots: number;
  /** The plan's mark. */
  readonly price: number;
}

/** The part of a book's delta that is traded outside the account. */
export interface ResidualDelta {
  readonly worldId: string;
  readonly strategyId: string;
  readonly lots: number;
}

/**
 * Crosses opposing deltas of one instrument inside the account: min(Σ buys, Σ sales) lots, shared on each side
 * pro rata. Crosses net to 0; residuals have one sign and sum to the net. Books are taken by world, then
 * strategy, so the result does not depend on the order given.
 */
export function crossInternally(
  deltas: readonly BookDelta[],
  price: number,
): { crosses: InternalCross[]; residuals: ResidualDelta[] } {
  const sorted = [...deltas].sort(
    (a, b) => compare(a.worldId, b.worldId) || compare(a.strategyId, b.strategyId),
  );
  const buys = sorted.filter((delta) => delta.deltaLots > 0);
  const sales = sorted.filter((delta) => delta.deltaLots < 0);
  const crossed = Math.min(sumAbs(buys), sumAbs(sales));
  const crosses: InternalCross[] = [];
  const residuals: ResidualDelta[] = [];
  for (const group of [buys, sales]) {
    const shares = shareProRata(
      crossed,
      group.map((delta) => Math.abs(delta.deltaLots)),
    );
    group.forEach(({ worldId, strategyId, venue, symbol, deltaLots }, index) => {
      const lots = Math.sign(deltaLots) * shares[index]!;
      if (lots !== 0) {
        crosses.push({ worldId, strategyId, venue, symbol, lots, price });
      }
      if (deltaLots !== lots) {
        residuals.push({ worldId, strategyId, lots: deltaLots - lots });
      }
    });
  }
  return { crosses, residuals };
}

function sumAbs(deltas: readonly BookDelta[]): number {
  return deltas.reduce((sum, delta) => sum + Math.abs(delta.deltaLots), 0);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
