import type { LayerName } from "./layers.ts";
import { unknownName } from "./unknown-name.ts";

/** A set of layers with a name. */
export interface Preset {
  readonly name: string;
  readonly summary: string;
  readonly layers: readonly LayerName[];
  /** Templates that are not the default of their layer. */
  readonly templates: Readonly<Partial<Record<LayerName, string>>>;
  /** Another system makes the signal, which arrives with the data: layers `data` and `signal` are not needed. */
  readonly externalSignal: boolean;
}

export const presets: readonly Preset[] = [
  {
    name: "minimal",
    summary: "a stream and one indicator",
    layers: ["data", "signal"],
    templates: {},
    externalSignal: false,
  },
  {
    name: "production",
    summary: "every layer, down to the account",
    layers: ["data", "signal", "execution", "brokerage", "monitoring"],
    templates: {},
    externalSignal: false,
  },
  {
    name: "research",
    summary: "several indicators and their metrics",
    layers: ["data", "signal", "monitoring"],
    templates: { signal: "multi-indicator" },
    externalSignal: false,
  },
  {
    name: "execution",
    summary: "executes a signal that another system produces",
    layers: ["execution", "brokerage"],
    templates: {},
    externalSignal: true,
  },
];

/** @throws {ProjectError} `PRESET_UNKNOWN` */
export function findPreset(name: string): Preset {
  const found = presets.find((each) => each.name === name);
  if (found !== undefined) return found;
  const known = presets.map((each) => each.name);
  throw unknownName("PRESET_UNKNOWN", "preset", name, known, "qmtl project list-presets");
}
