import type { EffectiveMode, ExecutionDomain, SessionPhase } from "@qmtl/core/gate";
import type { QmtlConfig } from "../../../config/index.ts";
import type { SdkClock } from "../../../control/index.ts";
import type { Connection } from "../../../rpc/index.ts";
import type { ReplayRows } from "../../../sources/replay-feed.ts";
import type { PlatformReach } from "./connection-monitor.ts";
import type { ReportOptions } from "./run-reporter.ts";
import type { BacktestSeries } from "./submission.ts";

/** Row evaluations of this process, by what they were for. */
export interface Evaluations {
  /** Nodes up to the target, sources included, in steady state. */
  shared: number;
  /** Steps after the target. */
  own: number;
  /** Private rows of history, and rows computed again to take a node over. */
  warmup: number;
  /** Rows that two contexts computed while the strategy changed context. */
  swap: number;
}

/** No evaluations. */
export const noEvaluations = (): Evaluations => ({ shared: 0, own: 0, warmup: 0, swap: 0 });

/** Where a running strategy stands. */
export interface RunStatus {
  /** Empty until the strategy is submitted. */
  readonly strategyId: string;
  /** How it stands with its gateway and with what is behind it. */
  readonly connection: PlatformReach;
  /** The strategy's own mode. */
  readonly mode: EffectiveMode;
  /** Highest domain orders leave in, whatever the world grants; null: as the world grants. */
  readonly executionDomain: ExecutionDomain | null;
  /** SHUT, READY (open, no usable lease) or ARMED. Above `executionDomain` always SHUT. */
  readonly gate: SessionPhase;
  /** Orders may leave. */
  readonly armed: boolean;
  /** Last row decided on; −1 before the first. */
  readonly row: number;
  /** End of its bucket, milliseconds since the epoch; NaN before the first. */
  readonly bucketEnd: number;
  /** Share of the strategy's capital: the first target's. */
  readonly target: number;
  /** The same of every target, by instrument. */
  readonly targets: Readonly<Record<string, number>>;
  /** Orders the strategy wanted while its gate was shut. */
  readonly wantedOrders: number;
  /** Orders its targets caused. */
  readonly sentOrders: number;
  /** Rows computed, by what for. */
  readonly evaluations: Evaluations;
  /** Queues this process publishes, sources included. */
  readonly holderOf: number;
  /** Queues it reads that another process publishes. */
  readonly followed: number;
  /** Times the control stream came back after a loss. One opened again for its age or its ticket is none. */
  readonly reconnects: number;
}

/** A strategy that runs online in one world. */
export interface OnlineRun {
  /** As the gateway named it; empty until the strategy was submitted. */
  readonly sessionId: string;
  /** Resolves at the end of the data, or when it was stopped; rejects when it was refused or failed. */
  readonly done: Promise<void>;
  status(): RunStatus;
  /** Ends the run cleanly: nothing of it stays. May be called twice. */
  stop(): Promise<void>;
}

/** Takes what a record of the session is made of, in order. */
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
   * Highest domain orders leave in: `dryrun` takes a live gate as shut, `backtest` and `shadow` send nothing at all. A
   * name that is not known is taken as `backtest`. @default `sdk.execution_domain` of the configuration
   */
  readonly executionDomain?: ExecutionDomain | null | undefined;
  /** Key of the caller. @default none */
  readonly apiKey?: string | undefined;
  /** Series of the caller's own offline run over the declared history. */
  readonly backtest?: BacktestSeries | undefined;
  /** Takes the consumed rows. @default none */
  readonly recorder?: SessionRecorder | undefined;
  /** Clocks, for tests. @default those of this machine */
  readonly clock?: SdkClock | undefined;
  /** A connection made already; it is left open. @default one to `gatewayUrl` */
  readonly connection?: Pick<Connection, "client"> | undefined;
  /** Rows of a source. @default from the files of the configuration */
  readonly loadRows?: ((source: string) => Promise<ReplayRows>) | undefined;
  /** Session to go on with, one that this caller was given before. @default a new one */
  readonly sessionId?: string | undefined;
}
