import type { Activation } from "@qmtl/core/gate";
import type { Composition } from "../store/decision-table.ts";

/** The activations with the modes of a composition; a strategy it does not name is validate. */
export function withModes(
  activations: readonly Activation[],
  composition: Composition,
): Activation[] {
  const modes = new Map(composition.strategies.map((s) => [s.strategyId, s.mode]));
  return activations.map((activation) => {
    const effectiveMode = modes.get(activation.strategyId) ?? "validate";
    return activation.effectiveMode === effectiveMode
      ? activation
      : { ...activation, effectiveMode };
  });
}

/** The activations, with both sides of the named strategies switched off. */
export function switchedOff(
  activations: readonly Activation[],
  strategyIds: readonly string[],
): Activation[] {
  return activations.map((a) => (strategyIds.includes(a.strategyId) ? { ...a, active: false } : a));
}
