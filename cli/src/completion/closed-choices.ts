import { leafKeys } from "@qmtl/sdk/config";
import { layers } from "../project/layers.ts";
import { presets } from "../project/presets.ts";
import { strategyTemplates } from "../project/strategy-templates.ts";
import type { CompletionValue } from "./completion-value.ts";

const words = (...values: readonly string[]): CompletionValue => ({ kind: "words", values });

/**
 * Values of options and arguments that take one of a few and whose command does not list them. The key is the command's
 * path, then the option, or the argument in angle brackets.
 */
export function closedChoices(): Readonly<Record<string, CompletionValue>> {
  const layerNames = layers.map(({ name }) => name);
  const layerTemplates = layers.flatMap(({ templates }) =>
    templates.filter(({ notBuilt }) => notBuilt === undefined).map(({ name }) => name),
  );
  // Keys that contain a name the author chose cannot be completed.
  const configKeys = leafKeys().filter((key) => /^[a-z0-9_.]+$/.test(key));
  return {
    "project init --strategy": words(...strategyTemplates.map(({ name }) => name)),
    "project init --preset": words(...presets.map(({ name }) => name)),
    "project init --layers": { kind: "list", values: layerNames },
    "project add-layer <layer>": words(...layerNames),
    "project add-layer --template": words(...layerTemplates),
    "config explain <key>": words(...configKeys),
  };
}
