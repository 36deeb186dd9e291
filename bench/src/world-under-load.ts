import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ApplyPhase } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  DemotePolicy,
  WorldClock,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type Connection, hasReason } from "@qmtl/sdk/rpc";
import { waitUntil } from "@qmtl/service-kit/testing";
import { endOfRow, openPolicy, writeFeeds } from "./bench-feed.ts";
import { type OpenPlatform, openEmbedded, temporaryFolder } from "./bench-platform.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import type { OrderTimes } from "./order-stopwatch.ts";
import { RunnerProcess, type RunnerReport } from "./runner-process.ts";
import { benchSource, sourceOf, threeWaves, type WaveShape } from "./wave-strategies.ts";

export interface WorldOptions {
  /** Rows of each feed that are replayed. */
  readonly bars: number;
  /** Feeds of the world, all with the same rows. @default 1 */
  readonly feeds?: number;
  /** Strategies. @default three that trade every feed */
  readonly shapes?: readonly WaveShape[];
  /** All strategies run in one process. @default false: each has a process of its own */
  readonly isWorker?: boolean;
  /** Largest number of strategies that the policy lets trade. @default all */
  readonly topK?: number;
  /** @default the embedded shape */
  readonly platform?: OpenPlatform;
}

/** What a feed cost from its start to its end. */
export interface FeedRun {
  /** Until everything is booked, milliseconds. */
  readonly tookMs: number;
  /** Processor time of the services, milliseconds; statements as `ProcessUse` has them. */
  readonly platformCpuMs: number;
  readonly statements: number;
  /** Processor time of all runners, milliseconds. */
  readonly runnersCpuMs: number;
  /** Latencies of the orders of all runners, milliseconds. */
  readonly times: OrderTimes;
  /** Runners at the start and at the end. */
  readonly before: readonly RunnerReport[];
  readonly after: readonly RunnerReport[];
}

const worldId = "bench";
const barMsMax = 1_000;

/** A platform with a replay world, and runners in processes of their own in it. */
export class WorldUnderLoad implements AsyncDisposable {
  readonly #bars: number;
  readonly #sources: readonly string[];
  readonly #runners: readonly RunnerProcess[];
  readonly #connection: Connection;
  readonly #used: () => Promise<{ cpuMs: number; statements: number }>;
  readonly #all: AsyncDisposableStack;

  /** Starts platform and runners, one after the other, which takes about 5 s and 1 s for each runner. */
  static async open(options: WorldOptions): Promise<WorldUnderLoad> {
    const { bars, feeds = 1, shapes = threeWaves(feeds), platform = openEmbedded } = options;
    const processes = options.isWorker === true ? [shapes] : shapes.map((shape) => [shape]);
    await using opened = new AsyncDisposableStack();
    const folder = await temporaryFolder(opened);
    const on = opened.use(await platform(await writeFeeds(folder, feeds, bars)));
    const { configFile, gatewayUrl } = on;
    const connection = opened.use(on.connect());
    await makeWorld(connection, options.topK);
    const runners: RunnerProcess[] = [];
    for (const own of processes) {
      const setup = { configFile, gatewayUrl, worldId, shapes: own };
      runners.push(opened.use(await RunnerProcess.start(setup)));
    }
    await share(connection, shapes.length);
    const sources = Array.from({ length: feeds }, (_, feed) => sourceOf(feed));
    const parts = { sources, runners, connection, used: () => on.used() };
    return new WorldUnderLoad(bars, parts, opened.move());
  }

  private constructor(
    bars: number,
    parts: {
      sources: readonly string[];
      runners: readonly RunnerProcess[];
      connection: Connection;
      used: () => Promise<{ cpuMs: number; statements: number }>;
    },
    all: AsyncDisposableStack,
  ) {
    this.#bars = bars;
    this.#sources = parts.sources;
    this.#runners = parts.runners;
    this.#connection = parts.connection;
    this.#used = parts.used;
    this.#all = all;
  }

  /** Promotes in two phases, until COMPLETED. @returns milliseconds from the freeze commit to the end, by the platform's clock */
  async apply(runId: string, targetMode: EffectiveMode): Promise<number> {
    let tookMs = Number.NaN;
    let tries = 0;
    const tried = async (): Promise<boolean> => {
      try {
        tries += 1;
        tookMs = await this.#apply(`${runId}-${tries}`, targetMode);
        return true;
      } catch (failure) {
        // A runner is there before WorldService has the series of its backtest.
        if (hasReason(failure, "MODE_NOT_REACHABLE")) return false;
        throw failure;
      }
    };
    await waitUntil(tried, { what: `apply ${runId}` });
    return tookMs;
  }

  async #apply(runId: string, targetMode: EffectiveMode): Promise<number> {
    let last = Number.NaN;
    let isCompleted = false;
    const phases = this.#connection
      .client(ActivationService)
      .apply({ worldId, runId, targetMode, plan: {}, reason: "bench" });
    for await (const phase of phases) {
      last = phase.elapsed === undefined ? Number.NaN : durationMs(phase.elapsed);
      isCompleted = phase.phase === ApplyPhase.COMPLETED;
      if (phase.phase === ApplyPhase.ROLLED_BACK)
        throw new Error(`apply ${runId} was rolled back: ${phase.reason}`);
    }
    if (!isCompleted) throw new Error(`apply ${runId} was not completed`);
    return last;
  }

  /** Lets every feed run to its end, or to this number of rows in all, and waits until everything is booked. */
  async runFeed(rows?: number): Promise<FeedRun> {
    const before = await this.reports();
    const usedBefore = await this.#used();
    const start = stopwatchMs();
    const queues = this.#connection.client(QueueService);
    const to =
      rows === undefined
        ? { case: "toEnd" as const, value: true as const }
        : { case: "untilTime" as const, value: timestampFromMs(endOfRow(rows - 1)) };
    for (const source of this.#sources) {
      const scope = { scope: { case: "source" as const, value: source } };
      await queues.advanceFeed({ scope, to });
    }
    const latestMs = start + 10_000 + this.#bars * this.#sources.length * barMsMax;
    for (;;) {
      const { feeds } = await queues.listFeeds({});
      const isOver = feeds.every((feed) => feed.settled && (feed.ended || rows !== undefined));
      if (isOver) break;
      if (stopwatchMs() > latestMs) throw new Error("the feeds did not settle");
      // Polled rarely: each poll costs the platform two calls and two statements.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const tookMs = stopwatchMs() - start;
    const used = await this.#used();
    const after = await this.reports();
    return {
      ...{ tookMs, before, after },
      platformCpuMs: used.cpuMs - usedBefore.cpuMs,
      statements: used.statements - usedBefore.statements,
      runnersCpuMs: sum(after, ({ cpuMs }) => cpuMs) - sum(before, ({ cpuMs }) => cpuMs),
      times: newTimes(before, after),
    };
  }

  reports(): Promise<RunnerReport[]> {
    return Promise.all(this.#runners.map((runner) => runner.report()));
  }

  /** See `RunnerProcess.keptBytes`; of all runners together. */
  async keptBytes(): Promise<number> {
    const kept = await Promise.all(this.#runners.map((runner) => runner.keptBytes()));
    return sum(kept, (bytes) => bytes);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#all.disposeAsync();
  }
}

/** What runners timed between two reports of theirs. */
function newTimes(before: readonly RunnerReport[], after: readonly RunnerReport[]): OrderTimes {
  const since = (kind: keyof OrderTimes): number[] =>
    after.flatMap(({ times }, at) => times[kind].slice(before[at]?.times[kind].length));
  return {
    barToAccepted: since("barToAccepted"),
    targetToAccepted: since("targetToAccepted"),
  };
}

/** Sum of a figure over reports. */
export function sum<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((total, item) => total + figure(item), 0);
}

async function makeWorld(connection: Connection, topK: number | undefined): Promise<void> {
  await connection.client(WorldService).createWorld({
    world: {
      worldId,
      clock: WorldClock.REPLAY,
      source: benchSource,
      accountId: "main",
      onDemote: DemotePolicy.FLAT,
      maxLag: durationFromMs(604_800_000),
    },
    requestId: "bench",
  });
  const policy = { worldId, document: openPolicy(topK), requestId: "bench" };
  await connection.client(PolicyService).createPolicy(policy);
}

/** Shares the world's capital evenly, once every runner's strategy is bound. */
async function share(connection: Connection, strategyCount: number): Promise<void> {
  const worlds = connection.client(WorldService);
  // A runner is there before its strategy is bound.
  const bindings = await waitUntil(
    async () => {
      const listed = (await worlds.listBindings({ worldId, pageSize: 1_000 })).bindings;
      return listed.length === strategyCount ? listed : undefined;
    },
    { what: `bindings of ${strategyCount} strategies` },
  );
  const strategies = (bindings ?? []).map(({ strategyId }) => ({
    strategyId,
    share: Math.floor(100 / strategyCount) / 100,
  }));
  const allocations = [{ worldId, ratio: 1, strategies }];
  await connection.client(RebalancingService).upsertAllocations({
    requestId: "start",
    allocations,
    reason: "bench",
  });
}
