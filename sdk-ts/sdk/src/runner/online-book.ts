import { OfflineAccount } from "@qmtl/core/execution";
import type { QmtlConfig } from "../config/index.ts";

/** One bar of the instrument that is traded. */
export interface BookBar {
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/**
 * The runner's own simulated book: what the strategy would have traded, by the same router and broker as on paper.
 * It counts the orders that were wanted while the gate was shut.
 */
export class OnlineBook {
  readonly #account: OfflineAccount;
  #wanted = 0;
  #rows = 0;

  /** Cash, costs and lot as the configuration says for the account that trades the instrument. */
  constructor(config: QmtlConfig, instrument: string) {
    const spec = config.instruments[instrument];
    const accounts = Object.values(config.accounts);
    const account = accounts.find((one) => one.instruments.includes(instrument)) ?? accounts[0];
    this.#account = new OfflineAccount({
      instruments: [
        {
          symbol: instrument,
          lotSize: spec?.lot ?? "1",
          multiplier: Number(spec?.multiplier ?? "1"),
          costs: { feeBps: account?.fee_bps ?? 1, halfSpreadBps: account?.half_spread_bps ?? 1 },
        },
      ],
      capital: Number(account?.initial_cash ?? "1000000"),
    });
  }

  /** Orders decided while the gate was shut. */
  get wantedOrders(): number {
    return this.#wanted;
  }

  /** Rows stepped. */
  get rows(): number {
    return this.#rows;
  }

  /** Takes a bar and the target decided on it. */
  step(row: number, bar: BookBar, target: number, isGateShut: boolean): void {
    const before = this.#account.orders.length;
    this.#account.step(row, bar.open, bar.high, bar.low, bar.close, target);
    this.#rows++;
    if (isGateShut) this.#wanted += this.#account.orders.length - before;
  }
}
