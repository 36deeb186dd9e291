import type { StrategyNode } from "../strategy/index.ts";
import {
  type IntentFirstNodeset,
  type IntentFirstOptions,
  makeIntentFirstNodeset,
} from "./intent-first-nodeset.ts";

/** An intent-first node set whose signal and price are bound later. */
export class IntentFirstAdapter {
  /** Inputs in order. `price` may be left out. */
  readonly ports = ["signal", "price"] as const;
  readonly #options: Omit<IntentFirstOptions, "signal" | "priceNode">;

  /** @param options what {@link makeIntentFirstNodeset} takes, except the nodes */
  constructor(options: Omit<IntentFirstOptions, "signal" | "priceNode">) {
    this.#options = options;
  }

  /**
   * Makes the set over the given nodes.
   *
   * @param inputs the signal, and the price if there is one
   * @returns the set, for `addNodeset`
   * @throws {DeclarationError} naming the field.
   */
  bind(inputs: {
    readonly signal: StrategyNode;
    readonly price?: StrategyNode;
  }): IntentFirstNodeset {
    const { signal, price } = inputs;
    const priced = price === undefined ? {} : { priceNode: price };
    return makeIntentFirstNodeset({ ...this.#options, signal, ...priced });
  }
}
