import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { QmtlError } from "@qmtl/sdk/rpc";
import { appendControlEvent, feedTopicKey } from "@qmtl/service-kit/control";
import type { Queryable, Tx } from "@qmtl/service-kit/db";
import type { FeedConfig } from "../replay/feed-config.ts";

/** Where a feed stands. */
export interface FeedState {
  readonly source: string;
  /** Null: no hold. */
  readonly untilMs: number | null;
  /** Last row in the log of any of its queues; −1 before the first. */
  readonly passedRow: number;
  /** Bucket end of the last row; 0 before the first. */
  readonly passedBucketEndMs: number;
  readonly isEnded: boolean;
  /** Names the feed's data, as its last START did; empty before the first. */
  readonly fingerprint: string;
}

export interface RunnerRow {
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyIds: readonly string[];
  readonly fromRow: number;
}

/** Runners of one feed at most. */
export const feedRunnersMax = 1_024;

/** Makes the feeds of the configuration; one that is there keeps its hold, which only moves forward. */
export async function ensureFeeds(
  tx: Tx,
  feeds: readonly FeedConfig[],
  nowMs: number,
): Promise<void> {
  for (const { source, untilMs } of feeds) {
    const added = await tx.query(
      `insert into dag.feed (source, until_ms, created_ms) values ($1, $2, $3)
       on conflict (source) do nothing returning source`,
      [source, untilMs, nowMs],
    );
    if (added.length > 0) await tellFeed(tx, source, nowMs);
  }
}

/** @throws {QmtlError} SOURCE_NOT_FOUND. */
export async function feedState(db: Queryable, source: string): Promise<FeedState> {
  const [row] = await db.query<{
    until_ms: number | null;
    passed_row: number | null;
    passed_bucket_end_ms: number | null;
    is_ended: boolean | null;
    fingerprint: string | null;
  }>(
    `select f.until_ms, max(h.next_row - 1) as passed_row, max(h.last_bucket_end_ms) as passed_bucket_end_ms,
       bool_or(h.is_ended) as is_ended, max(h.feed_fingerprint) as fingerprint
     from dag.feed f left join dag.queue q on q.source = f.source and q.is_source
       left join dag.queue_head h on h.compute_key = q.compute_key and h.epoch > 0
     where f.source = $1 group by f.source, f.until_ms`,
    [source],
  );
  if (row === undefined) throw unknownSource(source);
  return {
    source,
    untilMs: row.until_ms,
    passedRow: row.passed_row ?? -1,
    passedBucketEndMs: row.passed_bucket_end_ms ?? 0,
    isEnded: row.is_ended ?? false,
    fingerprint: row.fingerprint ?? "",
  };
}

/** Locks a feed and moves its hold forward; true when it moved. Null lifts it. */
export async function advanceFeed(
  tx: Tx,
  source: string,
  untilMs: number | null,
): Promise<boolean> {
  await lockFeed(tx, source);
  const moved = await tx.query(
    `update dag.feed set until_ms = $2
     where source = $1 and until_ms is not null and ($2::bigint is null or until_ms < $2::bigint)
     returning source`,
    [source, untilMs],
  );
  return moved.length > 0;
}

export async function feedRunners(db: Queryable, source: string): Promise<RunnerRow[]> {
  const rows = await db.query<{
    session_id: string;
    world_id: string;
    strategy_ids: string[];
    from_row: number;
  }>(
    `select session_id, world_id, strategy_ids, from_row from dag.replay_runner
     where source = $1 order by session_id`,
    [source],
  );
  return rows.map((row) => ({
    sessionId: row.session_id,
    worldId: row.world_id,
    strategyIds: row.strategy_ids,
    fromRow: row.from_row,
  }));
}

/**
 * Enters a runner, counted from the feed's next row; one that is in it already stays as it is. True when it
 * was added.
 *
 * @throws {QmtlError} SOURCE_NOT_FOUND; TOO_MANY_REQUESTS when the set is full.
 */
export async function addRunner(
  tx: Tx,
  source: string,
  runner: Omit<RunnerRow, "fromRow">,
  nowMs: number,
): Promise<boolean> {
  await lockFeed(tx, source);
  const fromRow = (await feedState(tx, source)).passedRow + 1;
  const others = await tx.query<{ count: number }>(
    "select count(*) as count from dag.replay_runner where source = $1 and session_id <> $2",
    [source, runner.sessionId],
  );
  if (others[0]!.count >= feedRunnersMax) {
    const message = `feed ${source} has ${feedRunnersMax} runners`;
    throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 5_000 });
  }
  const added = await tx.query(
    `insert into dag.replay_runner (source, session_id, world_id, strategy_ids, from_row, created_ms)
     values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning session_id`,
    [source, runner.sessionId, runner.worldId, runner.strategyIds, fromRow, nowMs],
  );
  return added.length > 0;
}

/** Takes a runner out; true when it was in. */
export async function removeRunner(tx: Tx, source: string, sessionId: string): Promise<boolean> {
  await lockFeed(tx, source);
  const removed = await tx.query(
    "delete from dag.replay_runner where source = $1 and session_id = $2 returning session_id",
    [source, sessionId],
  );
  return removed.length > 0;
}

/** A feed begins at `row`: runners that came before count from there. */
export async function beginFeed(tx: Tx, source: string, row: number, nowMs: number): Promise<void> {
  // A runner that is being entered meanwhile is seen here, or sees the new head.
  await tx.query("select 1 as one from dag.feed where source = $1 for update", [source]);
  const moved = await tx.query(
    "update dag.replay_runner set from_row = $2 where source = $1 and from_row < $2 returning session_id",
    [source, row],
  );
  if (moved.length > 0) await tellFeed(tx, source, nowMs);
}

/** Sessions that run a strategy in a world, over all feeds. */
export async function runnerSessions(
  db: Queryable,
  strategyId: string,
  worldId: string,
): Promise<string[]> {
  const rows = await db.query<{ session_id: string }>(
    `select distinct session_id from dag.replay_runner where world_id = $2 and $1 = any(strategy_ids)
     order by session_id`,
    [strategyId, worldId],
  );
  return rows.map((row) => row.session_id);
}

/** Feeds that some keys are queues of, by key; keys of no feed are left out. */
export async function feedsOf(
  db: Queryable,
  computeKeys: readonly string[],
): Promise<Map<string, string>> {
  const rows = await db.query<{ compute_key: string; source: string }>(
    `select q.compute_key, q.source from dag.queue q join dag.feed f using (source)
     where q.compute_key = any($1::text[]) and q.is_source`,
    [computeKeys],
  );
  return new Map(rows.map(({ compute_key, source }) => [compute_key, source]));
}

/** Tells where a feed stands, as far as the graph's store knows it: ends of rows are the barrier's owner's. */
export async function tellFeed(tx: Tx, source: string, nowMs: number): Promise<void> {
  const state = await feedState(tx, source);
  const runners = await feedRunners(tx, source);
  const value = {
    source,
    ...(state.untilMs === null ? {} : { untilTime: timestampFromMs(state.untilMs) }),
    passedRow: BigInt(state.passedRow),
    ...(state.passedRow < 0
      ? {}
      : { passedBucketEndTime: timestampFromMs(state.passedBucketEndMs) }),
    runners: runners.map(({ sessionId, worldId, strategyIds, fromRow }) => {
      const ids = { sessionId, worldId, strategyIds: [...strategyIds] };
      return { ...ids, fromRow: BigInt(fromRow), endedRow: -1n };
    }),
    ended: state.isEnded,
    fingerprint: state.fingerprint,
  };
  const payload = { case: "feedUpdated" as const, value };
  const topicKey = feedTopicKey(source);
  await appendControlEvent(tx, "dag", { topicKey, subject: source, payload }, nowMs);
}

async function lockFeed(tx: Tx, source: string): Promise<void> {
  const found = await tx.query("select 1 as one from dag.feed where source = $1 for update", [
    source,
  ]);
  if (found.length === 0) throw unknownSource(source);
}

function unknownSource(source: string): QmtlError {
  const metadata = { source };
  return new QmtlError("SOURCE_NOT_FOUND", `no replay source named ${source}`, { metadata });
}
