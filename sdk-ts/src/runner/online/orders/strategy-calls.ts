import type { SdkClock } from "../../../control/index.ts";
import { Strategy } from "../../../strategy/index.ts";
import type { ComputedBucket } from "../compute/clocks.ts";
import type { OnlineGraph } from "../session/graph.ts";
import type { OnlineOptions } from "../session/online-run.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { OnlineServices } from "../session/services.ts";
import { FillFollower } from "./fill-follower.ts";

/** What a strategy's author is told while it runs: changed targets and fills. */
export class StrategyCalls {
  readonly #graph: OnlineGraph;
  readonly #options: OnlineOptions;
  readonly #services: OnlineServices;
  readonly #clock: SdkClock;
  readonly #reports: RunReports;
  readonly #values: number[];
  #fills: FillFollower | undefined;

  constructor(
    graph: OnlineGraph,
    options: OnlineOptions,
    services: OnlineServices,
    clock: SdkClock,
    reports: RunReports,
  ) {
    this.#graph = graph;
    this.#options = options;
    this.#services = services;
    this.#clock = clock;
    this.#reports = reports;
    this.#values = graph.targets.map(() => 0);
  }

  /** Follows the fills of the strategy, if it wants to know of them. */
  follow(strategyId: string): void {
    const { strategy } = this.#graph.identified;
    if (strategy.onFill === Strategy.prototype.onFill) return;
    const { config, worldId } = this.#options;
    this.#fills = new FillFollower({
      services: this.#services,
      clock: this.#clock,
      worldId,
      strategyId,
      graph: this.#graph,
      instruments: config.instruments,
      reports: this.#reports,
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
        .catch((error: unknown) => this.#reports.problem(`onSignal failed: ${String(error)}`));
    });
  }

  async stop(): Promise<void> {
    await this.#fills?.stop();
  }
}
