import { PositionTargetNode, returns, Strategy } from "@qmtl/sdk";
import { closingPrice, INSTRUMENT } from "./layers/data/stream-input.ts";

/** Data alone: long from the second bar on, a benchmark for signals. `qmtl project add-layer signal` adds one. */
export class Layered extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const price = closingPrice();
    const signal = returns(price, { name: "any_return" });
    const target = new PositionTargetNode({
      signal,
      instrument: INSTRUMENT,
      thresholds: { longEnter: -1 }, // any return is above −100 %
    });
    this.addNodes([price, target]);
  }
}
