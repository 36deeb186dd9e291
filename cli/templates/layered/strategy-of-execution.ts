import { Strategy } from "@qmtl/sdk";
import { closingPrice, INSTRUMENT } from "./layers/data/stream-input.ts";
import { executionOf } from "./layers/execution/nodeset.ts";
import { signalOf } from "./layers/signal/signal.ts";

/** data → signal → execution, one layer per line. */
export class Layered extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const price = closingPrice();
    const signal = signalOf(price);
    const { worldId } = this;
    this.addNodeset(executionOf({ signal, price, instrument: INSTRUMENT, worldId }));
  }
}
