import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  AdvanceReplayRequest,
  AdvanceReplayResponseSchema,
  CreateReplayRunnerRequest,
  CreateReplayRunnerResponseSchema,
  DeleteReplayRunnerRequest,
  GetReplayResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { failpoints } from "@qmtl/service-kit";
import type { DagStore } from "../dag-store.ts";
import {
  addRunner,
  advanceFeed,
  type FeedState,
  feedRunners,
  feedState,
  type RunnerRow,
  removeRunner,
  tellFeed,
} from "../store/replay-store.ts";

/** Moves the hold of a feed forward; a time that is not later changes nothing. */
export async function advanceReplay(
  store: DagStore,
  request: AdvanceReplayRequest,
): Promise<MessageInitShape<typeof AdvanceReplayResponseSchema>> {
  const { source } = request;
  const untilMs = request.toEnd ? null : Number(request.untilMs);
  const state = await store.write(async (tx) => {
    const isMoved = await advanceFeed(tx, source, untilMs);
    if (isMoved) await tellFeed(tx, source, store.clock.nowMs());
    await failpoints.hit("dag.advance.before_commit");
    return feedState(tx, source);
  });
  store.changed();
  return standing(state);
}

/**
 * Where a feed stands, as far as the graph's store knows: hold, last row, runner set. Which rows the runners
 * have ended is known to the barrier's owner alone, so `settled` is false and `ended_row` 0 here.
 */
export async function getReplay(
  store: DagStore,
  source: string,
): Promise<MessageInitShape<typeof GetReplayResponseSchema>> {
  const state = await feedState(store.db, source);
  const runners = await feedRunners(store.db, source);
  return { ...standing(state), runners: runners.map(runnerMessage), ended: state.isEnded };
}

/** Enters a warm runner, counted from the feed's next row. */
export async function createReplayRunner(
  store: DagStore,
  request: CreateReplayRunnerRequest,
): Promise<MessageInitShape<typeof CreateReplayRunnerResponseSchema>> {
  const { source } = request;
  const { sessionId, worldId, strategyIds } = request.runner!;
  const runners = await store.write(async (tx) => {
    const nowMs = store.clock.nowMs();
    const isAdded = await addRunner(tx, source, { sessionId, worldId, strategyIds }, nowMs);
    if (isAdded) await tellFeed(tx, source, nowMs);
    return feedRunners(tx, source);
  });
  store.changed();
  return { runner: runnerMessage(runners.find((runner) => runner.sessionId === sessionId)!) };
}

/** Takes a runner out of the set of a feed. */
export async function deleteReplayRunner(
  store: DagStore,
  request: DeleteReplayRunnerRequest,
): Promise<void> {
  const { source, sessionId } = request;
  await store.write(async (tx) => {
    const isRemoved = await removeRunner(tx, source, sessionId);
    if (isRemoved) await tellFeed(tx, source, store.clock.nowMs());
  });
  store.changed();
}

function standing(state: FeedState) {
  return {
    ...(state.untilMs === null ? {} : { untilMs: BigInt(state.untilMs) }),
    passedRow: BigInt(state.passedRow),
    passedBucketEndMs: BigInt(Math.trunc(state.passedBucketEndMs)),
  };
}

function runnerMessage(runner: RunnerRow) {
  const { sessionId, worldId, strategyIds, fromRow } = runner;
  return { sessionId, worldId, strategyIds: [...strategyIds], fromRow: BigInt(fromRow) };
}
