import type { FeedState } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  type AdvanceFeedRequest,
  type FeedScope,
  QueueService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type CallContext, type Handlers, type ServedService, serve } from "@qmtl/service-kit";
import { consumeRows } from "../feed/consume-rows.ts";
import { type PublishPorts, publishRows } from "../feed/publish-rows.ts";
import type { RecordHub } from "../feed/record-hub.ts";
import type { ReplayFeeds } from "../feed/replay-feeds.ts";
import type { SourceKeys } from "../feed/source-keys.ts";
import { callOf, forwardService, forwardUnary } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";

interface QueueServicePorts extends PublishPorts {
  readonly dag: Peer;
  readonly keys: SourceKeys;
  readonly feeds: ReplayFeeds;
  readonly live: RecordHub;
  readonly world: Peer;
  readonly runnerSets: RunnerSetHandlers;
}

/** The DAG Manager's contracts at the gateway's address; this gateway owns the timelines of the replay feeds. */
export function queueServices(ports: QueueServicePorts): ServedService[] {
  const { dag } = ports;
  return [
    forwardService(QueueService, dag, { ...figures(ports), ...replay(ports), ...ports.runnerSets }),
    serve(QueueDataService, {
      publish: (request, context) => publishRows(ports, request, context),
      consume: (request, context) => consumeRows(ports, request, context),
    }),
  ];
}

/** Checks worlds here, because the DAG Manager does not know which exist. */
function figures({ dag, world }: QueueServicePorts): Handlers<typeof QueueService> {
  const listStats = forwardUnary(QueueService.method.listQueueStats, dag);
  const listByTag = forwardUnary(QueueService.method.listQueuesByTag, dag);
  return {
    async listQueuesByTag(request, context) {
      const worldId = request.context?.worldId ?? "";
      if (worldId !== "") await mustBeWorld(world, worldId, context);
      return listByTag(request, context);
    },
    async listQueueStats(request, context) {
      if (request.worldId !== "") await mustBeWorld(world, request.worldId, context);
      return listStats(request, context);
    },
  };
}

/** A change of the feed limit is in force at the barrier before the call is answered. */
function replay({ dag, world, feeds }: QueueServicePorts): Handlers<typeof QueueService> {
  const { method } = QueueService;
  const listFeeds = forwardUnary(method.listFeeds, dag);
  const advance = forwardUnary(method.advanceFeed, dag);
  const describe = (states: FeedState[]) =>
    Promise.all(states.map((state) => feeds.describe(state)));
  const inForce = async (states: FeedState[]) => {
    await feeds.refresh();
    return describe(states);
  };
  /** One hold for a timeline: the feeds that move with those that were advanced are advanced, too. */
  const advanceTogether = async (
    { to }: AdvanceFeedRequest,
    advanced: readonly FeedState[],
    context: CallContext,
  ) => {
    await feeds.refresh();
    const named = new Set(advanced.map(({ source }) => source));
    const others = new Set(advanced.flatMap(({ source }) => feeds.timelineOf(source)));
    for (const value of others) {
      if (named.has(value)) continue;
      await advance({ scope: { scope: { case: "source", value } }, to }, context);
    }
  };
  return {
    async listFeeds(request, context) {
      await mustBeScope(world, request.scope, context);
      const answer = await listFeeds(request, context);
      return { ...answer, feeds: await describe(answer.feeds) };
    },
    async advanceFeed(request, context) {
      await mustBeScope(world, request.scope, context);
      const answer = await advance(request, context);
      await advanceTogether(request, answer.feeds, context);
      return { ...answer, feeds: await inForce(answer.feeds) };
    },
  };
}

type RunnerSetHandlers = ReturnType<typeof runnerSetHandlers>;

/** The runner sets of feeds. A change is in force at the barrier before the call is answered. */
export function runnerSetHandlers({ dag, feeds }: Pick<QueueServicePorts, "dag" | "feeds">) {
  const { method } = QueueService;
  const createRunner = forwardUnary(method.createReplayRunner, dag);
  const deleteRunner = forwardUnary(method.deleteReplayRunner, dag);
  return {
    async createReplayRunner(request, context) {
      const answer = await createRunner(request, context);
      await feeds.refresh();
      const states = await Promise.all(answer.feeds.map((state) => feeds.describe(state)));
      return { ...answer, feeds: states };
    },
    async deleteReplayRunner(request, context) {
      const answer = await deleteRunner(request, context);
      feeds.forget(context.session?.sessionId ?? request.sessionId);
      await feeds.refresh();
      return answer;
    },
  } satisfies Handlers<typeof QueueService>;
}

async function mustBeScope(
  world: Peer,
  scope: FeedScope | undefined,
  context: CallContext,
): Promise<void> {
  if (scope?.scope.case === "worldId") await mustBeWorld(world, scope.scope.value, context);
}

/** @throws {QmtlError} WORLD_NOT_FOUND. */
async function mustBeWorld(world: Peer, worldId: string, context: CallContext): Promise<void> {
  await world.unary(WorldService.method.getWorld, { worldId }, callOf(context));
}
