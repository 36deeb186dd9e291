import type { EffectiveMode, ExecutionDomain, SessionPhase } from "@qmtl/core/gate";
import type { QmtlConfig } from "../../../config/index.ts";
import type { SdkClock } from "../../../control/index.ts";
import type { Connection } from "../../../rpc/index.ts";
import type { ReplayRows } from "../../../sources/replay-feed.ts";
import type { PlatformReach } from "./connection-monitor.ts";
import type { ReportOptions } from "./run-reporter.ts";
import type { BacktestSeries } from "./submission.ts";

/** Number of row evaluations of this process, by purpose. */
export interface Evaluations {
  /** Nodes up to the target, sources included, in steady state. */
  shared: number;
  /** Steps after the target. */
  own: number;
  /** Rows of private history, and rows computed again to take over a node. */
  warmup: number;
  /** Extra rows that a second context computed during a context swap. */
  swap: number;
}

/** No evaluations. */
export const noEvaluations = (): Evaluations => ({ shared: 0, own: 0, warmup: 0, swap: 0 });

/** State of a process that runs strategies. */
interface ProcessStatus {
  /** State of the connection to the gateway and to the services behind it. */
  readonly connection: PlatformReach;
  /** Highest domain in which orders may leave, whatever the world grants; null: as the world grants. */
  readonly executionDomain: ExecutionDomain | null;
  /** Number of rows computed, by purpose. */
  readonly evaluations: Evaluations;
  /** Number of queues that this process publishes, sources included. */
  readonly holderOf: number;
  /** Number of queues that it reads and another process publishes. */
  readonly followed: number;
  /** How often the connection came back after a loss. A stream reopened because of its age or ticket does not count. */
  readonly reconnects: number;
}

/** State of a strategy that runs. */
interface StrategyStatus {
  /** Empty until the strategy is submitted. */
  readonly strategyId: string;
  /** The strategy's own mode. */
  readonly mode: EffectiveMode;
  /** SHUT, READY (open, no usable lease) or ARMED. Always SHUT while the world grants more than `executionDomain`. */
  readonly gate: SessionPhase;
  /** True while orders may leave. */
  readonly armed: boolean;
  /** Last row decided on; −1 before the first. */
  readonly row: number;
  /** End of its bucket, milliseconds since the epoch; NaN before the first. */
  readonly bucketEnd: number;
  /** Weight of the first target; 0 before there is one. */
  readonly target: number;
  /** Weight of every target, by instrument. */
  readonly targets: Readonly<Record<string, number>>;
  /** Buckets in a row at which a target has had no signal, by instrument; 0 while it has one. */
  readonly signalStale: Readonly<Record<string, number>>;
  /** Number of orders that the strategy wanted while its gate was shut. */
  readonly wantedOrders: number;
  /** Number of orders that its targets led to. */
  readonly sentOrders: number;
}

/** State of a running strategy. */
export interface RunStatus extends ProcessStatus, StrategyStatus {}

/** State of one of the strategies of a worker. */
export interface HostedStatus extends StrategyStatus {
  /** Name of the strategy. */
  readonly name: string;
  /** Why it was taken out; absent while it runs. */
  readonly failure?: string;
}

/** State of a worker. */
export interface WorkerStatus extends ProcessStatus {
  /** Its strategies, in the order in which they were given. */
  readonly strategies: readonly HostedStatus[];
}

/** Strategies that run online in one world, in one process. */
export interface OnlineWorker {
  /** Id of the session, as the gateway assigned it; empty until the strategies were submitted. */
  readonly sessionId: string;
  /**
   * Resolves at the end of the data, or when the worker was stopped, also if strategies were taken out: `status` names
   * them. Rejects if it failed as a whole, or if no strategy is left.
   */
  readonly done: Promise<void>;
  status(): WorkerStatus;
  /** Ends the worker cleanly: no timer, socket or lease of it remains. May be called twice. */
  stop(): Promise<void>;
}

/** A strategy that runs online in one world. */
export interface OnlineRun {
  /** Id of the session, as the gateway assigned it; empty until the strategy was submitted. */
  readonly sessionId: string;
  /** Resolves at the end of the data, or when the run was stopped; rejects if it was refused or failed. */
  readonly done: Promise<void>;
  status(): RunStatus;
  /** Ends the run cleanly: no timer, socket or lease of it remains. May be called twice. */
  stop(): Promise<void>;
}

/** Takes the rows for a record of the session, in order. */
export interface SessionRecorder {
  /** A source row as it was consumed. */
  bucket(entry: {
    readonly nodeId: string;
    readonly row: number;
    readonly bucketEndMs: number;
    readonly values: Float64Array;
  }): void;
}

/** How a strategy is run online. */
export interface OnlineOptions extends ReportOptions {
  /** World to run in. */
  readonly worldId: string;
  /** The configuration. */
  readonly config: QmtlConfig;
  /** @default `sdk.gateway_url` of the configuration */
  readonly gatewayUrl?: string | undefined;
  /**
   * Highest domain in which orders may leave: `dryrun` treats a live gate as shut, `backtest` and `shadow` send nothing
   * at all. An unknown name counts as `backtest`. @default `sdk.execution_domain` of the configuration
   */
  readonly executionDomain?: ExecutionDomain | null | undefined;
  /** Key of the caller. @default none */
  readonly apiKey?: string | undefined;
  /** Return series of the caller's own offline run over the declared history. @default none */
  readonly backtest?: BacktestSeries | undefined;
  /** Takes the consumed rows. @default none */
  readonly recorder?: SessionRecorder | undefined;
  /** Clocks, for tests. @default those of this machine */
  readonly clock?: SdkClock | undefined;
  /** An existing connection, which is left open. @default a new one to `gatewayUrl` */
  readonly connection?: Pick<Connection, "client"> | undefined;
  /** Rows of a source. @default from the files of the configuration */
  readonly loadRows?: ((source: string) => Promise<ReplayRows>) | undefined;
  /** Id of an earlier session of this caller to continue. @default a new session */
  readonly sessionId?: string | undefined;
}
