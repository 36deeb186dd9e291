import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type {
  AdvanceFeedRequest,
  DeleteReplayRunnerRequest,
  FeedScope,
  ListFeedsRequest,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { isRecordTime } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallContext,
  failpoints,
  type PageFilters,
  pagesOf,
  type SessionScope,
} from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import type { DagStore } from "../store/dag-store.ts";
import {
  addRunner,
  advanceFeed,
  emitFeedState,
  type FeedMessage,
  feedNames,
  feedStates,
  lockFeeds,
  removeRunner,
  runnerSources,
  worldFeeds,
} from "../store/replay-store.ts";

/**
 * Moves the limits of feeds forward, all in one transaction; a time that is not later changes nothing.
 *
 * @throws {QmtlError} SOURCE_NOT_FOUND; INVALID_FIELD without a scope, or for a time outside the years 1 to 9999.
 */
export async function advanceFeeds(
  store: DagStore,
  request: AdvanceFeedRequest,
): Promise<{ feeds: FeedMessage[] }> {
  const { to } = request;
  const untilMs = to.case === "untilTime" ? timeMsOf(to.value, "until_time") : null;
  const feeds = await store.write(async (tx) => {
    const sources = await sourcesIn(tx, request.scope);
    await lockFeeds(tx, sources);
    for (const source of sources) {
      const isMoved = await advanceFeed(tx, source, untilMs);
      if (isMoved) await emitFeedState(tx, source, store.clock.nowMs());
    }
    await failpoints.hit("dag.advance.before_commit");
    return feedStates(tx, sources);
  });
  store.changed();
  return { feeds };
}

/**
 * State of feeds, as far as this service knows it: limit, last row, runner sets. Only the owner of the barrier knows
 * which rows the runners have ended, so `settled` is false and `ended_row` −1 here.
 *
 * @throws {QmtlError} SOURCE_NOT_FOUND, PAGE_TOKEN_INVALID.
 */
export async function listFeeds(
  store: DagStore,
  request: ListFeedsRequest,
): Promise<{ feeds: FeedMessage[]; nextPageToken: string }> {
  const { db, clock } = store;
  const { scope } = request;
  const filters: PageFilters = {
    method: "QueueService.ListFeeds",
    scope: scope?.scope.case ?? "",
    of: scope?.scope.value ?? "",
  };
  const pages = pagesOf(clock, request, filters, ["string"]);
  const all = scope === undefined ? await feedNames(db) : await sourcesIn(db, scope);
  const { page, nextPageToken } = pages.cut(all, (source) => [source]);
  return { feeds: await feedStates(db, page), nextPageToken };
}

/** Adds a session to the runner sets of feeds; each feed waits for it from its next row on. */
export async function createReplayRunner(
  store: DagStore,
  session: SessionScope,
  sources: readonly string[],
): Promise<{ feeds: FeedMessage[] }> {
  const { sessionId, worldId, strategyIds } = session;
  const ordered = sources.toSorted(byText);
  const feeds = await store.write(async (tx) => {
    const nowMs = store.clock.nowMs();
    await lockFeeds(tx, ordered);
    for (const source of ordered) {
      const isAdded = await addRunner(tx, source, { sessionId, worldId, strategyIds }, nowMs);
      if (isAdded) await emitFeedState(tx, source, nowMs);
    }
    return feedStates(tx, ordered);
  });
  store.changed();
  return { feeds };
}

/**
 * Removes a session from the runner sets of the named feeds, or of all when none is named; resolves to its id. The
 * session is the ticket's; a call without a ticket names it.
 *
 * @throws {QmtlError} SOURCE_NOT_FOUND; INVALID_FIELD when a call with a ticket names a session, or one without does
 * not.
 */
export async function deleteReplayRunner(
  store: DagStore,
  request: DeleteReplayRunnerRequest,
  { session }: CallContext,
): Promise<string> {
  const sessionId = leavingSession(request, session);
  await store.write(async (tx) => {
    const named = request.sources.toSorted(byText);
    const sources = named.length === 0 ? await runnerSources(tx, sessionId) : named;
    await lockFeeds(tx, sources);
    for (const source of sources) {
      const isRemoved = await removeRunner(tx, source, sessionId);
      if (isRemoved) await emitFeedState(tx, source, store.clock.nowMs());
    }
  });
  store.changed();
  return sessionId;
}

function leavingSession(
  { sessionId }: DeleteReplayRunnerRequest,
  session: SessionScope | undefined,
): string {
  if ((session === undefined) !== (sessionId === "")) return session?.sessionId ?? sessionId;
  const description =
    session === undefined ? "is required without a ticket" : "is only for calls without a ticket";
  throw new QmtlError("INVALID_FIELD", `session_id ${description}`, {
    fields: [{ field: "session_id", description }],
  });
}

/** Feeds of a scope, ordered. Whether they exist is checked when they are locked or read. */
async function sourcesIn(db: Queryable, scope: FeedScope | undefined): Promise<string[]> {
  if (scope?.scope.case === "source") return [scope.scope.value];
  if (scope?.scope.case === "worldId") return worldFeeds(db, scope.scope.value);
  throw new QmtlError("INVALID_FIELD", "the scope names neither a source nor a world", {
    fields: [{ field: "scope", description: "must name a source or a world" }],
  });
}

function timeMsOf(time: Timestamp, field: string): number {
  const ms = timestampMs(time);
  if (isRecordTime(ms)) return ms;
  throw new QmtlError("INVALID_FIELD", `${field} is not within the years 1 to 9999`, {
    fields: [{ field, description: "must be within the years 1 to 9999" }],
  });
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
