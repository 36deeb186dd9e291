import { atr } from "./atr.ts";
import { bollinger } from "./bollinger.ts";
import { changed } from "./changed.ts";
import { column } from "./column.ts";
import { ema } from "./ema.ts";
import { hysteresis } from "./hysteresis.ts";
import type { KernelSpec } from "./kernel.ts";
import { lag } from "./lag.ts";
import { logReturn } from "./log-return.ts";
import { max } from "./max.ts";
import { min } from "./min.ts";
import { positionTarget } from "./position-target.ts";
import { priceChange } from "./price-change.ts";
import { rateOfChange } from "./rate-of-change.ts";
import { rsi } from "./rsi.ts";
import { sma } from "./sma.ts";
import { stddev } from "./stddev.ts";
import { sum } from "./sum.ts";
import { weightTarget } from "./weight-target.ts";

/** A built-in node as the graph knows it. */
export interface CatalogueEntry<P, Column extends string = string> {
  readonly spec: KernelSpec<P>;
  /** Raised whenever the values of the node change; part of its identity. */
  readonly version: number;
  /** Input ports in order. */
  readonly ports: readonly string[];
  /** Output names, parallel to `spec.outputs`. */
  readonly outputs: readonly Column[];
}

function entry<P>(
  spec: KernelSpec<P>,
  ports: readonly string[] = ["source"],
): CatalogueEntry<P, "value"> {
  return { spec, version: 1, ports, outputs: ["value"] };
}

function entryOf<P, const Column extends string>(
  spec: KernelSpec<P>,
  ports: readonly string[],
  outputs: readonly Column[],
): CatalogueEntry<P, Column> {
  return { spec, version: 1, ports, outputs };
}

/** Every built-in node. Adding one touches its own file and this list. */
export const catalogue = {
  atr: entry(atr, ["high", "low", "close"]),
  bollinger: entryOf(bollinger, ["source"], ["mid", "upper", "lower"]),
  changed: entry(changed),
  column: entry(column),
  ema: entry(ema),
  hysteresis: entry(hysteresis, ["signal"]),
  lag: entry(lag),
  log_return: entry(logReturn),
  max: entry(max),
  min: entry(min),
  position_target: entryOf(positionTarget, ["signal"], ["target"]),
  price_change: entry(priceChange),
  rate_of_change: entry(rateOfChange),
  rsi: entry(rsi),
  sma: entry(sma),
  stddev: entry(stddev),
  sum: entry(sum),
  weight_target: entryOf(weightTarget, ["signal"], ["target"]),
} as const;
