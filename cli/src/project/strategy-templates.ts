import { unknownName } from "./unknown-name.ts";

/** A strategy a project can start from. */
export interface StrategyTemplate {
  readonly name: string;
  readonly summary: string;
  /** Folder under `templates/` whose files replace or add to the base; undefined: the base as it is. */
  readonly folder: string | undefined;
}

/** Every strategy template; the first is the default. */
export const strategyTemplates: readonly StrategyTemplate[] = [
  template("general", "price → momentum → target; shows indicators/ and transforms/ in use", true),
  template("single-indicator", "price → EMA(10) → target"),
  template("multi-indicator", "price → EMA(5), EMA(20), RSI(14) → target"),
  template("branching", "price → momentum and volatility, two branches that meet → target"),
  template("state-machine", "price → trend state long or short → what changed → target"),
  template("intent-first", "a signal, default thresholds, a quarter long and a tenth short"),
  template("multi-world", "one strategy judged in two worlds with policies of their own"),
];

function template(name: string, summary: string, isBase = false): StrategyTemplate {
  return { name, summary, folder: isBase ? undefined : `strategies/${name}` };
}

/**
 * The template with this name; `_` counts as `-`.
 *
 * @throws {ProjectError} `TEMPLATE_UNKNOWN`
 */
export function findStrategyTemplate(name: string): StrategyTemplate {
  const found = strategyTemplates.find((each) => each.name === name.replaceAll("_", "-"));
  if (found !== undefined) return found;
  const known = strategyTemplates.map((each) => each.name);
  const lister = "qmtl project list-presets --show-legacy-templates";
  throw unknownName("TEMPLATE_UNKNOWN", "strategy template", name, known, lister);
}
