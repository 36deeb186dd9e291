import { ComputeError, MissingBucketError } from "@qmtl/core/dataflow";
import type { SdkClock } from "../../../control/index.ts";
import type { ComputedBucket } from "../compute/clocks.ts";
import { QueueDivergedError } from "../compute/holder-watch.ts";
import type { OnlineInput } from "../log/input.ts";
import { emptyFeeds, type OnlineGraph } from "../session/graph.ts";
import type { Evaluations, OnlineOptions, RunStatus } from "../session/online-run.ts";
import type { RunReporter } from "../session/run-reporter.ts";
import type { OnlineServices } from "../session/services.ts";
import type { BacktestSeries } from "../session/submission.ts";
import { RunState } from "./run-state.ts";
import { SignalMonitor } from "./signal-monitor.ts";
import { StrategyCallbacks } from "./strategy-callbacks.ts";
import { TargetBook } from "./target-book.ts";

interface HostedStrategyOptions {
  readonly graph: OnlineGraph;
  /** Return series of its backtest. */
  readonly backtest: BacktestSeries | undefined;
  readonly run: OnlineOptions;
  /** Who is told what happens in this strategy. */
  readonly reports: RunReporter;
  readonly services: OnlineServices;
  readonly clock: SdkClock;
  /** Counters of the process. */
  readonly evaluations: Evaluations;
}

/** One of the strategies of a run: its targets, its simulated books and its callbacks. */
export class HostedStrategy {
  readonly graph: OnlineGraph;
  readonly backtest: BacktestSeries | undefined;
  readonly reports: RunReporter;
  /** What it has decided, and what of that the router has. */
  readonly targets: TargetBook;
  readonly state: RunState;
  /** Orders that its targets led to. */
  sentOrders = 0;
  /** Orders may leave. */
  isArmed = false;
  /** Last bucket decided on. */
  decided: ComputedBucket | undefined;
  readonly #calls: StrategyCallbacks;
  readonly #signals: SignalMonitor;
  readonly #nodes: ReadonlySet<string>;
  #strategyId = "";
  #finished: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(options: HostedStrategyOptions) {
    const { graph, backtest, run, reports, services, clock, evaluations } = options;
    this.graph = graph;
    this.backtest = backtest;
    this.reports = reports;
    this.#nodes = new Set(graph.identified.graph.nodes.map(({ id }) => id));
    this.targets = new TargetBook(graph.targets);
    this.state = new RunState(graph, run, evaluations);
    this.#calls = new StrategyCallbacks(graph, run, services, clock, this.reports);
    this.#signals = new SignalMonitor(graph.targets, this.reports);
    for (const problem of emptyFeeds(graph, run.config)) this.reports.problem(problem);
  }

  get name(): string {
    return this.graph.identified.strategy.name;
  }

  /** Empty until it is submitted. */
  get strategyId(): string {
    return this.#strategyId;
  }

  /** It was taken out: it computes and sends nothing any more, and the other strategies of the run go on. */
  get isOut(): boolean {
    return this.#failure !== undefined;
  }

  /** Why it was taken out; undefined while it runs. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** It was submitted: its fills are followed from now on. */
  submitted(strategyId: string): void {
    this.#strategyId = strategyId;
  }

  /** Begins its callbacks. */
  follow(): void {
    if (!this.isOut) this.#calls.follow(this.#strategyId);
  }

  /** Whether a failure is that of one of its nodes. */
  hasFailedBy(error: unknown): boolean {
    if (error instanceof QueueDivergedError)
      return [...error.nodeIds].some((nodeId) => this.#nodes.has(nodeId));
    const isOfNode = error instanceof ComputeError || error instanceof MissingBucketError;
    return isOfNode && this.#nodes.has(error.place.nodeId);
  }

  /** Takes it out, and tells it why; resolves when it has heard. */
  async takeOut(failure: Error): Promise<void> {
    this.#failure = failure;
    this.isArmed = false;
    try {
      await this.graph.identified.strategy.onError(failure);
    } catch (error) {
      this.reports.callbackFailed("onError", error);
    }
    await this.#calls.stop();
  }

  /** A bucket is decided, before it is sent. `inputs` are the streams of the run. */
  targetsFixed(bucket: ComputedBucket, isGateShut: boolean, inputs: readonly OnlineInput[]): void {
    const values = this.targets.all.map(({ value }) => value);
    this.state.targetsFixed(bucket, values, isGateShut, inputs);
    this.#calls.targetsFixed(bucket, values);
    this.#signals.take(bucket);
  }

  /** Its targets that have had no signal for long. */
  get signalGaps(): SignalMonitor["gaps"] {
    return this.#signals.gaps;
  }

  /** What is its own of the status of a run. */
  status(): Pick<
    RunStatus,
    | "strategyId"
    | "row"
    | "bucketEnd"
    | "target"
    | "targets"
    | "signalStale"
    | "wantedOrders"
    | "sentOrders"
  > {
    const values = this.targets.all.map(({ value }) => value);
    const instruments = this.graph.targets.map(({ instrument }) => instrument);
    return {
      strategyId: this.#strategyId,
      row: this.decided?.row ?? -1,
      bucketEnd: this.decided?.bucketEndMs ?? Number.NaN,
      target: values[0] ?? 0,
      targets: Object.fromEntries(instruments.map((name, at) => [name, values[at] ?? 0])),
      signalStale: this.#signals.missed,
      wantedOrders: this.state.wantedOrders,
      sentOrders: this.sentOrders,
    };
  }

  /** Ends its callbacks. */
  async stop(): Promise<void> {
    await this.#calls.stop();
  }

  /** Tells the strategy that its run has ended. */
  finish(): Promise<void> {
    this.#finished ??= Promise.resolve(this.graph.identified.strategy.onFinish());
    return this.#finished;
  }
}
