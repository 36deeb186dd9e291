import { applyTrade, flatPosition, type Position } from "./position.ts";

/** A fill as a portfolio books it. `quantity` above 0 buys. */
export interface PortfolioFill {
  readonly symbol: string;
  readonly quantity: number;
  readonly price: number;
  /** Money paid beside the price, ≥ 0. @default 0 */
  readonly commission?: number;
}

/** One line of a portfolio. Money in the quote currency. */
export interface PortfolioPosition {
  readonly quantity: number;
  readonly averageCost: number;
  /** Last mark, or the last fill price while no mark came. */
  readonly marketPrice: number;
  /** (market price − average cost) × quantity. */
  readonly unrealisedPnl: number;
}

interface Line extends Position {
  marketPrice: number;
}

/**
 * Cash and positions of one account, quantities in units of the instrument.
 *
 * A fill moves cash by −(quantity × price + commission) and marks its symbol at its price. A closed position
 * is removed. A flip resets the average cost to the fill price.
 */
export class Portfolio {
  #cash: number;
  #realised = 0;
  readonly #lines = new Map<string, Line>();

  constructor(cash: number) {
    this.#cash = cash;
  }

  get cash(): number {
    return this.#cash;
  }

  /** Realised P&L so far, before commissions. */
  get realisedPnl(): number {
    return this.#realised;
  }

  applyFill(fill: PortfolioFill): void {
    const line = this.#lines.get(fill.symbol) ?? { ...flatPosition(), marketPrice: fill.price };
    this.#realised += applyTrade(line, fill.quantity, fill.price);
    line.marketPrice = fill.price;
    this.#cash -= fill.quantity * fill.price + (fill.commission ?? 0);
    if (line.quantity === 0) {
      this.#lines.delete(fill.symbol);
    } else {
      this.#lines.set(fill.symbol, line);
    }
  }

  /** Marks a held symbol; an unheld one is ignored. */
  mark(symbol: string, price: number): void {
    const line = this.#lines.get(symbol);
    if (line !== undefined) {
      line.marketPrice = price;
    }
  }

  /** Cash plus the market value of every position. */
  totalValue(): number {
    let value = this.#cash;
    for (const line of this.#lines.values()) {
      value += line.quantity * line.marketPrice;
    }
    return value;
  }

  /** Units held of a symbol, 0 when flat. */
  quantityOf(symbol: string): number {
    return this.#lines.get(symbol)?.quantity ?? 0;
  }

  positions(): ReadonlyMap<string, PortfolioPosition> {
    const view = new Map<string, PortfolioPosition>();
    for (const [symbol, { quantity, averageCost, marketPrice }] of this.#lines) {
      const unrealisedPnl = (marketPrice - averageCost) * quantity;
      view.set(symbol, { quantity, averageCost, marketPrice, unrealisedPnl });
    }
    return view;
  }
}
