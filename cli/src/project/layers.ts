import { ProjectError } from "./project-error.ts";
import { unknownName } from "./unknown-name.ts";

/** A part of a layered project. */
export type LayerName = "data" | "signal" | "execution" | "brokerage" | "monitoring";

/** One way to fill a layer. */
export interface LayerTemplate {
  readonly name: string;
  readonly summary: string;
  /** Folder under `templates/` whose files replace or add to the layer's own; undefined: the layer as it is. */
  readonly folder?: string;
  /** What is missing, when it cannot be used yet. */
  readonly notBuilt?: string;
}

export interface Layer {
  readonly name: LayerName;
  readonly summary: string;
  /** Layers it cannot do without. */
  readonly requires: readonly LayerName[];
  /** The first is the default. */
  readonly templates: readonly LayerTemplate[];
  /** What to write into `strategy.ts` after adding the layer to an existing project. */
  readonly wiring: string;
}

const ccxt = "there is no CCXT adapter yet";

/** Every layer, in the order in which they build on one another. */
export const layers: readonly Layer[] = [
  {
    name: "data",
    summary: "what the strategy reads",
    requires: [],
    templates: [
      { name: "stream-input", summary: "a source of qmtl.yml" },
      { name: "ccxt-provider", summary: "bars of an exchange", notBuilt: ccxt },
    ],
    wiring:
      'import { closingPrice, INSTRUMENT } from "./layers/data/stream-input.ts"; const price = closingPrice();',
  },
  {
    name: "signal",
    summary: "from prices to one number per bar",
    requires: ["data"],
    templates: [
      { name: "single-indicator", summary: "distance from EMA(10)" },
      {
        name: "multi-indicator",
        summary: "EMA(5), EMA(20), RSI(14)",
        folder: "layer-templates/signal/multi-indicator",
      },
    ],
    wiring: 'import { signalOf } from "./layers/signal/signal.ts"; const signal = signalOf(price);',
  },
  {
    name: "execution",
    summary: "from a signal to a target position",
    requires: ["signal"],
    templates: [{ name: "nodeset", summary: "the intent-first set" }],
    wiring:
      'import { executionOf } from "./layers/execution/nodeset.ts"; this.addNodeset(executionOf({ signal, price, instrument: INSTRUMENT, worldId: this.worldId }));',
  },
  {
    name: "brokerage",
    summary: "who executes, and at what cost",
    requires: ["execution"],
    templates: [
      { name: "paper", summary: "a paper account with costs and limits" },
      { name: "ccxt-binance", summary: "an account at an exchange", notBuilt: ccxt },
    ],
    wiring: "layers/brokerage/account.yml is the `accounts:` section for qmtl.yml",
  },
  {
    name: "monitoring",
    summary: "metrics for dashboards",
    requires: [],
    templates: [{ name: "metrics", summary: "backtest metrics as a Prometheus text file" }],
    wiring: "npx node layers/monitoring/write-metrics.ts writes .qmtl/metrics.prom",
  },
];

/** @throws {ProjectError} `LAYER_UNKNOWN` */
export function findLayer(name: string): Layer {
  const found = layers.find((each) => each.name === name);
  if (found !== undefined) return found;
  const known = layers.map((each) => each.name);
  throw unknownName("LAYER_UNKNOWN", "layer", name, known, "qmtl project list-layers");
}

/**
 * The template of a layer, its default when none is named; `_` counts as `-`.
 *
 * @throws {ProjectError} `TEMPLATE_UNKNOWN`, `TEMPLATE_NOT_BUILT`
 */
export function findLayerTemplate(layer: Layer, name?: string): LayerTemplate {
  const wanted = name?.replaceAll("_", "-") ?? layer.templates[0]!.name;
  const found = layer.templates.find((each) => each.name === wanted);
  if (found === undefined) {
    const known = layer.templates.map((each) => each.name).join(", ");
    const message = `layer ${layer.name} has no template "${name}"; it has ${known}`;
    throw new ProjectError("TEMPLATE_UNKNOWN", message);
  }
  if (found.notBuilt !== undefined) {
    const message = `template ${found.name} of layer ${layer.name} cannot be used: ${found.notBuilt}`;
    throw new ProjectError("TEMPLATE_NOT_BUILT", message);
  }
  return found;
}

/**
 * The layers named and all they require, in order, without those in `present`.
 *
 * @param present layers that are there already, or provided from outside
 */
export function withRequired(
  names: readonly LayerName[],
  present: ReadonlySet<LayerName> = new Set(),
): Layer[] {
  const wanted = new Set<LayerName>();
  const add = (name: LayerName): void => {
    if (wanted.has(name) || present.has(name)) return;
    wanted.add(name);
    for (const required of findLayer(name).requires) add(required);
  };
  for (const name of names) add(name);
  return layers.filter((layer) => wanted.has(layer.name));
}
