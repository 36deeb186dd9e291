import { type IntentFirstNodeset, makeIntentFirstNodeset, type StrategyNode } from "@qmtl/sdk";

/** What the target is made from. */
export interface ExecutionInputs {
  /** In −1…1. */
  readonly signal: StrategyNode;
  readonly price: StrategyNode;
  readonly instrument: string;
  readonly worldId: string;
}

/** Half the capital long at a signal of 0.4 or more, a quarter short at −0.6 or less; flat again when it has faded. */
export function executionOf(inputs: ExecutionInputs): IntentFirstNodeset {
  const { signal, price, instrument, worldId } = inputs;
  return makeIntentFirstNodeset({
    signal,
    priceNode: price,
    instrument,
    worldId,
    thresholds: { longEnter: 0.4, longExit: 0, shortEnter: -0.6, shortExit: -0.1 },
    longWeight: 0.5,
    shortWeight: -0.25,
  });
}
