import type { StrategyNode } from "../strategy/index.ts";
import { checkOptions } from "../strategy/option-keys.ts";
import {
  type IntentFirstNodeset,
  type IntentFirstOptions,
  intentFirstKeys,
  makeIntentFirstNodeset,
} from "./intent-first-nodeset.ts";

/** An intent-first node set whose signal and price are bound later. */
export class IntentFirstAdapter {
  /** Inputs in order. `price` may be left out. */
  readonly ports = ["signal", "price"] as const;
  readonly #options: Omit<IntentFirstOptions, "signal" | "priceNode">;

  /** @param options what {@link makeIntentFirstNodeset} takes, except the nodes */
  constructor(options: Omit<IntentFirstOptions, "signal" | "priceNode">) {
    const { signal: _, priceNode: __, ...keys } = intentFirstKeys; // the nodes come with `bind`
    checkOptions("IntentFirstAdapter", options, keys);
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
    checkOptions("IntentFirstAdapter.bind", inputs, { signal: true, price: true });
    const { signal, price } = inputs;
    const priced = price === undefined ? {} : { priceNode: price };
    return makeIntentFirstNodeset({ ...this.#options, signal, ...priced });
  }
}
