import { column, Strategy, StreamInput } from "@qmtl/sdk";
import { executionOf } from "./layers/execution/nodeset.ts";

const INSTRUMENT = "DEMO";

/**
 * Executes a signal that is made elsewhere: it arrives with the bars, as the column `signal` of the source `bars`.
 *
 * The value of a bar must have been known at its close, otherwise the backtest knows the future.
 */
export class Execution extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({
      name: "bars",
      source: "bars",
      columns: ["open", "high", "low", "close", "signal"],
      instrument: INSTRUMENT,
      interval: "1d",
    });
    const price = column(bars, "close", { name: "close" });
    const signal = column(bars, "signal", { name: "signal" });
    const { worldId } = this;
    this.addNodeset(executionOf({ signal, price, instrument: INSTRUMENT, worldId }));
  }
}
