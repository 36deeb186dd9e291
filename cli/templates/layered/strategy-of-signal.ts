import { PositionTargetNode, Strategy } from "@qmtl/sdk";
import { closingPrice, INSTRUMENT } from "./layers/data/stream-input.ts";
import { signalOf } from "./layers/signal/signal.ts";

/** data → signal → target: all the capital long while the signal is up. */
export class Layered extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const price = closingPrice();
    const target = new PositionTargetNode({
      signal: signalOf(price),
      instrument: INSTRUMENT,
      thresholds: { longEnter: 0.4, longExit: 0 },
    });
    this.addNodes([price, target]);
  }
}
