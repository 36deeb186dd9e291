import type { SdkClock } from "../control/index.ts";
import { Strategy } from "../strategy/index.ts";
import type { ComputedBucket } from "./computed-bucket.ts";
import { FillFollower } from "./fill-follower.ts";
import type { OnlineGraph } from "./online-graph.ts";
import type { OnlineOptions } from "./online-run.ts";
import type { OnlineServices } from "./online-services.ts";

/** What a strategy's author is told while it runs: changed targets and fills. */
export class StrategyCalls {
  readonly #graph: OnlineGraph;
  readonly #options: OnlineOptions;
  readonly #services: OnlineServices;
  readonly #clock: SdkClock;
  readonly #onProblem: (problem: string) => void;
  readonly #values: number[];
  #fills: FillFollower | undefined;

  constructor(
    graph: OnlineGraph,
    options: OnlineOptions,
    services: OnlineServices,
    clock: SdkClock,
    onProblem: (problem: string) => void,
  ) {
    this.#graph = graph;
    this.#options = options;
    this.#services = services;
    this.#clock = clock;
    this.#onProblem = onProblem;
    this.#values = graph.targets.map(() => 0);
  }

  /** Follows the fills of the strategy, if it wants to know of them. */
  follow(strategyId: string): void {
    const { strategy } = this.#graph.identified;
    if (strategy.onFill === Strategy.prototype.onFill) return;
    const { config, worldId } = this.#options;
    const { worlds, accounts } = this.#services;
    this.#fills = new FillFollower({
      worlds,
      accounts,
      clock: this.#clock,
      worldId,
      strategyId,
      lotOf: (instrument) => config.instruments[instrument]?.lot ?? "1",
      endMsOf: (source, row) => {
        const rows = this.#graph.feeds.get(source);
        return rows?.bucketEndMs[row - rows.firstRow] ?? Number.NaN;
      },
      onFill: (fill) => strategy.onFill(fill),
      onProblem: this.#onProblem,
    });
    this.#fills.start();
  }

  /** A bucket was decided: targets that changed are told. */
  decided({ row, bucketEndMs }: ComputedBucket, values: readonly number[]): void {
    const { targets, identified } = this.#graph;
    targets.forEach(({ name: node, instrument }, at) => {
      const target = values[at] ?? 0;
      if (target === this.#values[at]) return;
      this.#values[at] = target;
      const signal = { node, instrument, target, row, bucketEndMs };
      // Not within the decision: what the author's code throws, at once or later, is told and ends nothing.
      Promise.resolve()
        .then(() => identified.strategy.onSignal(signal))
        .catch((error: unknown) => this.#onProblem(`onSignal failed: ${String(error)}`));
    });
  }

  async stop(): Promise<void> {
    await this.#fills?.stop();
  }
}
