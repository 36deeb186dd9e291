import {
  CsvSource,
  loadConfig,
  PositionTargetNode,
  ProcessingNode,
  runSweepInWorkers,
  Strategy,
  type StrategyNode,
  StreamInput,
  type SweepVariant,
  sma,
  sum,
} from "@qmtl/sdk";
import { identifyStrategy, toRuntimeGraph } from "@qmtl/sdk/platform";
import { spxPrice } from "../strategies/spx-price.ts";

/** Windows tried: 20, 30, … 250 days. */
export const smaWindows: readonly number[] = Array.from({ length: 24 }, (_, k) => 20 + 10 * k);

/** Days at the end of the file that a variant is judged by. */
const judgedDays = 4_800;

/** The rule of `SmaTrend` with its gain as a node: the sum of position × return, without costs. */
class SmaGain extends Strategy {
  static readonly module = import.meta.url;
  readonly #window: number;

  constructor(window: number) {
    super();
    this.#window = window;
  }

  override setup(): void {
    this.addNodes([gainOf(spxPrice(), this.#window)]);
  }
}

function gainOf(price: StrategyNode, window: number): StrategyNode {
  const lead = new ProcessingNode({
    name: "lead",
    inputs: { price, mean: sma(price, window) },
    period: 1,
    compute: (windows) => windows.price.latest() / windows.mean.latest() - 1,
  });
  const thresholds = { longEnter: 0.01, longExit: -0.01 };
  const target = new PositionTargetNode({ signal: lead, instrument: "SPX", thresholds });
  const daily = new ProcessingNode({
    name: "daily gain",
    inputs: { price, target },
    period: 2,
    // The target at the previous close earns the return since then.
    compute: ({ price, target }) => target.latest(1) * (price.latest() / price.latest(1) - 1),
  });
  return sum(daily, judgedDays, { name: "gain" });
}

/** Variant `index` of the sweep. A function cannot be sent to a worker: the worker imports this file and calls this. */
export function sweepVariant(index: number): SweepVariant {
  const { graph } = identifyStrategy(new SmaGain(smaWindows[index]!), { worldId: "sweep" });
  return { graph: toRuntimeGraph(graph), wanted: graph.leaves };
}

/** The rows the variants read, as the engine takes them. */
export async function sweepInputs(configPath: string) {
  const { file, interval } = loadConfig({ path: configPath }).sources.sp500!;
  const { graph } = identifyStrategy(new SmaGain(smaWindows[0]!), { worldId: "sweep" });
  const source = graph.nodes.find(({ declared }) => declared.node instanceof StreamInput)!;
  const { bucketEndMs, columns } = await new CsvSource({ path: file, interval }).load();
  const names = source.declared.node.outputs;
  return [
    { nodeId: source.id, endMs: bucketEndMs, columns: names.map((name) => columns.get(name)!) },
  ];
}

/** Gain of each window of {@link smaWindows}, computed in at most `workersMax` threads. */
export async function sweepSmaWindows(
  configPath: string,
  workersMax: number,
  signal?: AbortSignal,
): Promise<readonly number[]> {
  const gains = await runSweepInWorkers({
    module: import.meta.url,
    variants: smaWindows.length,
    inputs: await sweepInputs(configPath),
    workersMax,
    ...(signal === undefined ? {} : { signal }),
  });
  return gains.map(([gain]) => gain!);
}
