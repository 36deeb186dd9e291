import { type OfflineOptions, offlineKeys } from "../runner/offline/offline-options.ts";
import type { OfflineResult } from "../runner/offline/result.ts";
import { runOffline } from "../runner/offline/run-offline.ts";
import { declareStrategy } from "../runner/strategy-loading/identify-strategy.ts";
import type { StrategyClass } from "../runner/strategy-loading/strategy-module.ts";
import { type Strategy, StreamInput, TargetNode } from "../strategy/index.ts";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import type { BuiltBars } from "./bars.ts";
import { type BarsProjectOptions, barsProject } from "./bars-project.ts";

/** Options of {@link runOnBars}. */
export interface RunOnBarsOptions
  extends Omit<OfflineOptions, "config" | "configPath" | "sources">,
    Omit<BarsProjectOptions, "continuous"> {}

const { config: _, configPath: __, sources: ___, ...offlineRest } = offlineKeys;
const optionKeys: OptionKeys<RunOnBarsOptions> = {
  ...offlineRest,
  instruments: true,
  periodsPerYear: true,
};

/**
 * Runs a strategy offline on bars made in the test, without a file of its own or a `qmtl.yml`.
 *
 * The strategy's streams read the bars of the source they name, and the instruments of its targets are traded on them.
 * Costs, cash, range and the rest are those of `Runner.offline`: 1,000,000 of cash, 1 bp fee and 1 bp half spread
 * unless given otherwise. Equal bars and options give an equal result.
 *
 * @param given a class that extends `Strategy`, or an instance of one
 * @param bars bars of the one source it reads, or of several by name of the source
 * @param options those of `Runner.offline`, and the instruments. @default {}
 * @returns the result, as `Runner.offline` returns it
 * @throws {RangeError} if the strategy reads a source without bars; otherwise what `Runner.offline` throws.
 */
export async function runOnBars(
  given: StrategyClass | Strategy,
  bars: BuiltBars | Readonly<Record<string, BuiltBars>>,
  options: RunOnBarsOptions = {},
): Promise<OfflineResult> {
  checkOptions("runOnBars", options, optionKeys);
  const { instruments = {}, periodsPerYear, worldId = "offline", ...offline } = options;
  const { strategy, compiled } = declareStrategy(given, { worldId, module: offline.module });
  const nodes = compiled.nodes.map(({ node }) => node);
  const streams = nodes.filter((node) => node instanceof StreamInput);
  const sources = bySource(bars, new Set(streams.map((stream) => stream.source)));
  const targets = nodes.filter((node) => node instanceof TargetNode);
  const traded = targets.map(({ instrument }) => [instrument, {}]);
  const continuous = streams.filter(({ schedule }) => schedule === "continuous");
  await using project = await barsProject(sources, {
    instruments: { ...Object.fromEntries(traded), ...instruments },
    continuous: continuous.map(({ source }) => source),
    ...(periodsPerYear === undefined ? {} : { periodsPerYear }),
  });
  return await runOffline(strategy, { ...offline, worldId, config: project.config });
}

function bySource(
  bars: BuiltBars | Readonly<Record<string, BuiltBars>>,
  names: ReadonlySet<string>,
): Readonly<Record<string, BuiltBars>> {
  const listed = [...names].join(", ");
  if (!isOne(bars)) {
    const missing = [...names].filter((name) => !Object.hasOwn(bars, name));
    if (missing.length === 0) return bars;
    throw new RangeError(
      `the strategy reads ${listed}; there are no bars of ${missing.join(", ")}`,
    );
  }
  const [only] = names;
  if (only !== undefined && names.size === 1) return { [only]: bars };
  throw new RangeError(`the strategy reads ${listed}; give bars by source: { ${listed} }`);
}

function isOne(bars: BuiltBars | Readonly<Record<string, BuiltBars>>): bars is BuiltBars {
  return bars.columns instanceof Map;
}
