import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
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
import { Runner } from "@qmtl/sdk";
import { loadConfig } from "@qmtl/sdk/config";
import type { Connection } from "@qmtl/sdk/rpc";
import { type Stack, startStack } from "../../e2e/src/harness/start-stack.ts";
import { feedConfig, feedCsv, openPolicy } from "./bench-feed.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { type OrderTimes, timedConnection } from "./order-stopwatch.ts";
import { benchSource, waveStrategies } from "./wave-strategies.ts";

const worldId = "bench";
const historyRows = 200;
const settleMsMax = 60_000;

/** A platform process with a replay world, and three runners of this process in it. */
export interface WorldUnderLoad extends AsyncDisposable {
  readonly stack: Stack;
  readonly connection: Connection;
  readonly times: OrderTimes;
  /** Promotes in two phases. @returns milliseconds from the freeze commit to the end, by the platform's clock */
  apply(runId: string, mode: EffectiveMode): Promise<number>;
  /** Lets the feed run to its end and waits until everything is booked. @returns milliseconds */
  runFeed(): Promise<number>;
}

/** Starts the platform and the runners, which takes about 5 s. `rows` is the length of the feed. */
export async function openWorldUnderLoad(rows: number): Promise<WorldUnderLoad> {
  await using opened = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "qmtl-bench-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "feed.csv");
  await writeFile(file, feedCsv(historyRows + rows));
  const stack = opened.use(
    await startStack({ config: feedConfig(file, historyRows), execArgv: [] }),
  );
  const connection = opened.use(stack.connect());
  await makeWorld(connection);
  const times: OrderTimes = { barToAccepted: [], targetToAccepted: [], endAnswered: [] };
  const config = loadConfig({ path: stack.configFile, env: {} });
  for (const strategy of waveStrategies()) {
    const own = opened.use(stack.connect());
    opened.use(
      await Runner.run(strategy, {
        worldId,
        config,
        module: import.meta.resolve("./wave-strategies.ts"),
        connection: timedConnection(own, times),
      }),
    );
  }
  await share(connection);
  const all = opened.move();
  return {
    stack,
    connection,
    times,
    apply: (runId, mode) => apply(connection, runId, mode),
    runFeed: () => runFeed(connection),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function makeWorld(connection: Connection): Promise<void> {
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
  const policy = { worldId, document: openPolicy, requestId: "bench" };
  await connection.client(PolicyService).createPolicy(policy);
}

async function share(connection: Connection): Promise<void> {
  const { bindings } = await connection.client(WorldService).listBindings({
    worldId,
    pageSize: 1_000,
  });
  const strategies = bindings.map(({ strategyId }) => ({
    strategyId,
    share: Math.floor(100 / bindings.length) / 100,
  }));
  const allocations = [{ worldId, ratio: 1, strategies }];
  await connection.client(RebalancingService).upsertAllocations({
    requestId: "start",
    allocations,
    reason: "bench",
  });
}

async function apply(
  connection: Connection,
  runId: string,
  targetMode: EffectiveMode,
): Promise<number> {
  let last = Number.NaN;
  let hasPhase = false;
  const phases = connection
    .client(ActivationService)
    .apply({ worldId, runId, targetMode, plan: {}, reason: "bench" });
  for await (const phase of phases) {
    last = phase.elapsed === undefined ? Number.NaN : durationMs(phase.elapsed);
    hasPhase = true;
    if (phase.phase === ApplyPhase.ROLLED_BACK)
      throw new Error(`apply ${runId} was rolled back: ${phase.reason}`);
  }
  if (!hasPhase) throw new Error(`apply ${runId} told no phase`);
  return last;
}

async function runFeed(connection: Connection): Promise<number> {
  const queues = connection.client(QueueService);
  const start = stopwatchMs();
  const scope = { scope: { case: "source" as const, value: benchSource } };
  await queues.advanceFeed({ scope, to: { case: "toEnd", value: true } });
  while (stopwatchMs() - start < settleMsMax) {
    const [feed] = (await queues.listFeeds({ scope })).feeds;
    if (feed?.ended && feed.settled) return stopwatchMs() - start;
    // Polled rarely: each poll costs the platform two calls and two statements.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the feed did not settle within ${settleMsMax} ms`);
}
