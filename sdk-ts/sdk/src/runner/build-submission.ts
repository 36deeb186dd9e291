import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type SubmitStrategyRequest,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig, type QmtlConfig } from "../config/index.ts";
import type { Connection } from "../rpc/index.ts";
import { DeclarationError, type Strategy, TargetNode } from "../strategy/index.ts";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import { accountsListing } from "./offline/market.ts";
import type { OfflineResult } from "./offline/result.ts";
import { runOffline } from "./offline/run-offline.ts";
import { FeedCache, loadReplayRows, onlineGraph } from "./online/session/graph.ts";
import { type BacktestSeries, submissionRequest } from "./online/session/submission.ts";
import {
  declareStrategy,
  type IdentifiedStrategy,
  identifyStrategy,
} from "./strategy-loading/identify-strategy.ts";
import type { StrategyClass } from "./strategy-loading/strategy-module.ts";

/** Options for preparing a submission. */
export interface SubmissionOptions {
  /** World to run in. */
  readonly worldId: string;
  /** Configuration file. @default `qmtl.yml`, then `qmtl.yaml` of the working directory */
  readonly configPath?: string | undefined;
  /** A configuration that is already loaded; takes precedence over `configPath`. */
  readonly config?: QmtlConfig | undefined;
  /**
   * Account of the configuration whose costs, cash and rules the backtest has. @default the only one that lists all
   * instruments of the strategy; where several do, that of the world, which is asked over `connection`
   */
  readonly accountId?: string | undefined;
  /** Connection to the gateway over which the world is asked. @default none here; `Runner.run` and the like make one */
  readonly connection?: Pick<Connection, "client"> | undefined;
  /** File in which the strategy is written: a path or `import.meta.url`. @default the `module` of its class */
  readonly module?: string | undefined;
  /** Called with the number of rows done and in total while the declared history is backtested. @default none */
  readonly onProgress?: ((rowsDone: number, rowsTotal: number) => void) | undefined;
  /** Called with a text for logs for each thing that was left out. @default none */
  readonly onProblem?: ((problem: string) => void) | undefined;
}

/** Keys of {@link SubmissionOptions}. */
export const submissionKeys: OptionKeys<SubmissionOptions> = {
  worldId: true,
  configPath: true,
  config: true,
  accountId: true,
  connection: true,
  module: true,
  onProgress: true,
  onProblem: true,
};

/**
 * Builds the request that submits a strategy: its graph, the pins of its sources, its targets and the return series of
 * a backtest of the declared history. {@link Runner.run} submits the same request. Here nothing is sent, and only the
 * backtest runs.
 *
 * @param given a class that extends `Strategy`, or an instance of one
 * @param options world, configuration and module
 * @returns a request with a request id of its own: sent twice, it makes one submission
 * @throws {StrategyRunError | DeclarationError | CodeHashError | CsvError | ConfigError | ComputeError} what is wrong
 * with the strategy, its configuration or its files.
 */
export async function buildSubmission(
  given: StrategyClass | Strategy,
  options: SubmissionOptions,
): Promise<SubmitStrategyRequest> {
  checkOptions("buildSubmission", options, submissionKeys);
  const config = options.config ?? loadConfig({ path: options.configPath });
  const { identified, backtest } = await prepareSubmission(given, { ...options, config });
  const cache = new FeedCache((source) => loadReplayRows(config, source));
  const graph = await onlineGraph(identified, config, cache);
  return create(SubmitStrategyRequestSchema, submissionRequest(graph, options.worldId, backtest));
}

/** Backtests the declared history of a strategy and computes its node ids. */
export async function prepareSubmission(
  given: StrategyClass | Strategy,
  options: SubmissionOptions & { readonly config: QmtlConfig },
): Promise<{
  readonly identified: IdentifiedStrategy;
  /** Undefined for a tag query whose queues are known only online. */
  readonly backtest: BacktestSeries | undefined;
}> {
  const { worldId, module } = options;
  const history = await backtestOf(given, {
    ...options,
    accountId: await accountFor(given, options),
  });
  const identified = identifyStrategy(given, {
    worldId,
    ...(module === undefined ? {} : { module }),
  });
  return { identified, backtest: history && seriesOf(history) };
}

/** The account of the backtest: the one named, or that of the world where several list the instruments. */
async function accountFor(
  given: StrategyClass | Strategy,
  { config, worldId, accountId, connection, module }: SubmissionOptions & { config: QmtlConfig },
): Promise<string | undefined> {
  const isOnly = Object.keys(config.accounts).length < 2;
  if (accountId !== undefined || isOnly || connection === undefined) return accountId;
  const { compiled } = declareStrategy(given, { worldId, module });
  const symbols = compiled.nodes.flatMap(({ node }) =>
    node instanceof TargetNode ? [node.instrument] : [],
  );
  const listing = accountsListing(symbols, config);
  if (listing.length < 2) return undefined;
  const timeoutMs = config.sdk.request_timeout_ms;
  const { world } = await connection.client(WorldService).getWorld({ worldId }, { timeoutMs });
  return listing.find((id) => id === world?.accountId);
}

/** The backtest of the declared history; undefined for a tag query whose queues are known only online. */
async function backtestOf(
  given: StrategyClass | Strategy,
  { config, worldId, accountId, module, onProgress, onProblem }: SubmissionOptions,
): Promise<OfflineResult | undefined> {
  try {
    return await runOffline(given, {
      config,
      worldId,
      ...(accountId === undefined ? {} : { accountId }),
      ...(module === undefined ? {} : { module }),
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(onProblem === undefined ? {} : { onProblem }),
    });
  } catch (failure) {
    const isOpen = failure instanceof DeclarationError && failure.reason === "TAG_QUERY_UNRESOLVED";
    if (!isOpen) throw failure;
    onProblem?.(`no backtest is submitted: ${failure.message}`);
    return undefined;
  }
}

/** The returns of a backtest as they are submitted: from mark to mark, so that a policy judges all of the run. */
function seriesOf({ markReturns }: OfflineResult): BacktestSeries {
  const { intervalSeconds, periodsPerYear, returns, endsMs } = markReturns;
  const ends = Array.from(endsMs);
  return {
    interval: durationFromMs(intervalSeconds * 1_000),
    periodsPerYear,
    startTime: timestampFromMs(ends[0] ?? 0),
    endTime: timestampFromMs(ends.at(-1) ?? 0),
    returns: Array.from(returns),
    domain: ExecutionDomain.BACKTEST,
    bucketEndMs: ends,
  };
}
