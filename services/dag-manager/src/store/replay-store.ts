import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { FeedStateSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { recordTimeMsMax, recordTimeMsMin } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { appendControlEvent, feedTopicKey } from "@qmtl/service-kit/control";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

export type FeedMessage = MessageInitShape<typeof FeedStateSchema>;

/** A replay feed of the configuration. */
export interface FeedConfig {
  readonly source: string;
  /** No bucket that ends later may pass, milliseconds since 1970; null for no limit. */
  readonly untilMs: number | null;
}

/** How far a feed has come, and who runs it. */
interface FeedRow {
  readonly source: string;
  /** Milliseconds since 1970; null for no limit. */
  readonly untilMs: number | null;
  /** Last row in the log of any of its queues; −1 before the first. */
  readonly passedRow: number;
  /** Bucket end of the last row; null before the first, and where an older version stored one that is no time. */
  readonly passedBucketEndMs: number | null;
  readonly isEnded: boolean;
  /** Of its data, as its last START stated it; empty before the first. */
  readonly fingerprint: string;
  /** Ordered by session. */
  readonly runners: readonly RunnerRow[];
  /** Worlds whose strategies in force read it, ordered. */
  readonly worldIds: readonly string[];
}

interface RunnerRow {
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyIds: readonly string[];
  readonly fromRow: number;
}

/** Largest number of runners of one feed. */
const feedRunnersMax = 1_024;

/** Creates the feeds of the configuration; an existing one keeps its limit, which only moves forward. */
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
    if (added.length > 0) await emitFeedState(tx, source, nowMs);
  }
}

/** Names of all feeds, ordered. */
export async function feedNames(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ source: string }>(
    `select source from dag.feed order by source collate "C"`,
  );
  return rows.map((row) => row.source);
}

/** Feeds that the strategies in force in a world read, ordered. */
export async function worldFeeds(db: Queryable, worldId: string): Promise<string[]> {
  const rows = await db.query<{ source: string }>(
    `select distinct f.source collate "C" as source from dag.strategy_context c
       join dag.strategy_node s using (strategy_id)
       join dag.queue q on q.node_id = s.node_id and q.is_source
       join dag.feed f on f.source = q.source
     where c.world_id = $1 and c.is_current order by 1`,
    [worldId],
  );
  return rows.map((row) => row.source);
}

/** State of feeds, ordered by source. @throws {QmtlError} SOURCE_NOT_FOUND for one that does not exist. */
async function feedRows(db: Queryable, sources: readonly string[]): Promise<FeedRow[]> {
  // One feed is asked for many times per second, and the database plans a statement with a list anew each time.
  const [only, ...others] = sources;
  const [asked, param] =
    only !== undefined && others.length === 0 ? ["$1", only] : ["any($1::text[])", sources];
  const rows = await db.query<{
    source: string;
    until_ms: number | null;
    passed_row: number | null;
    passed_bucket_end_ms: number | null;
    is_ended: boolean | null;
    fingerprint: string | null;
    runners: FeedRow["runners"];
    world_ids: string[];
  }>(
    `select f.source, f.until_ms, max(h.next_row - 1) as passed_row,
       max(h.last_bucket_end_ms) filter (where h.last_bucket_end_ms between ${recordTimeMsMin} and ${recordTimeMsMax})
         as passed_bucket_end_ms, bool_or(h.is_ended) as is_ended,
       max(h.feed_fingerprint) as fingerprint,
       (select coalesce(jsonb_agg(jsonb_build_object('sessionId', r.session_id, 'worldId', r.world_id,
            'strategyIds', r.strategy_ids, 'fromRow', r.from_row) order by r.session_id), '[]')
          from dag.replay_runner r where r.source = f.source) as runners,
       array(select distinct c.world_id collate "C" from dag.queue s
          join dag.strategy_node n on n.node_id = s.node_id
          join dag.strategy_context c on c.strategy_id = n.strategy_id and c.is_current
          where s.source = f.source and s.is_source order by 1) as world_ids
     from dag.feed f left join dag.queue q on q.source = f.source and q.is_source
       left join dag.queue_head h on h.compute_key = q.compute_key and h.epoch > 0
     where f.source = ${asked} group by f.source, f.until_ms order by f.source collate "C"`,
    [param],
  );
  mustHave(
    sources,
    rows.map((row) => row.source),
  );
  return rows.map((row) => ({
    source: row.source,
    untilMs: row.until_ms,
    passedRow: row.passed_row ?? -1,
    passedBucketEndMs: row.passed_bucket_end_ms,
    isEnded: row.is_ended ?? false,
    fingerprint: row.fingerprint ?? "",
    runners: row.runners,
    worldIds: row.world_ids,
  }));
}

/** Moves the limit of a locked feed forward, or removes it (null); resolves to true when it changed. */
export async function advanceFeed(
  tx: Tx,
  source: string,
  untilMs: number | null,
): Promise<boolean> {
  const moved = await tx.query(
    `update dag.feed set until_ms = $2
     where source = $1 and until_ms is not null and ($2::bigint is null or until_ms < $2::bigint)
     returning source`,
    [source, untilMs],
  );
  return moved.length > 0;
}

/** Feeds that have the session in their runner set, ordered. */
export async function runnerSources(db: Queryable, sessionId: string): Promise<string[]> {
  const rows = await db.query<{ source: string }>(
    `select source from dag.replay_runner where session_id = $1 order by source collate "C"`,
    [sessionId],
  );
  return rows.map((row) => row.source);
}

/**
 * Adds a runner to the set of a locked feed, which waits for it from its next row on. A runner already in the set stays
 * as it is, but for the strategies that it runs. Resolves to true when it was added or runs others.
 *
 * @throws {QmtlError} SOURCE_NOT_FOUND; TOO_MANY_REQUESTS when the set is full.
 */
export async function addRunner(
  tx: Tx,
  source: string,
  runner: Omit<RunnerRow, "fromRow">,
  nowMs: number,
): Promise<boolean> {
  const [feed] = await feedRows(tx, [source]);
  const fromRow = feed!.passedRow + 1;
  const others = await tx.query<{ count: number }>(
    "select count(*) as count from dag.replay_runner where source = $1 and session_id <> $2",
    [source, runner.sessionId],
  );
  if (others[0]!.count >= feedRunnersMax) {
    const message = `feed ${source} has ${feedRunnersMax} runners`;
    throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 5_000 });
  }
  const added = await tx.query(
    `insert into dag.replay_runner as r (source, session_id, world_id, strategy_ids, from_row, created_ms)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (source, session_id) do update set strategy_ids = excluded.strategy_ids
       where r.strategy_ids is distinct from excluded.strategy_ids
     returning session_id`,
    [source, runner.sessionId, runner.worldId, runner.strategyIds, fromRow, nowMs],
  );
  return added.length > 0;
}

/** Removes a runner from the set of a locked feed; resolves to true when it was in it. */
export async function removeRunner(tx: Tx, source: string, sessionId: string): Promise<boolean> {
  const removed = await tx.query(
    "delete from dag.replay_runner where source = $1 and session_id = $2 returning session_id",
    [source, sessionId],
  );
  return removed.length > 0;
}

/** Notes that a feed begins at `row`: for runners that joined earlier it waits from that row on. */
export async function beginFeed(tx: Tx, source: string, row: number, nowMs: number): Promise<void> {
  // Locked, so that a runner that is added at the same time is seen here, or sees the new head.
  await tx.query("select 1 as one from dag.feed where source = $1 for update", [source]);
  const moved = await tx.query(
    "update dag.replay_runner set from_row = $2 where source = $1 and from_row < $2 returning session_id",
    [source, row],
  );
  if (moved.length > 0) await emitFeedState(tx, source, nowMs);
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

/** The feed of each key that is a queue of one; other keys are left out. */
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

/** Publishes the state of a feed. */
export async function emitFeedState(tx: Tx, source: string, nowMs: number): Promise<void> {
  const [value] = await feedStates(tx, [source]);
  const payload = { case: "feedUpdated" as const, value: value! };
  const topicKey = feedTopicKey(source);
  await appendControlEvent(tx, "dag", { topicKey, subject: source, payload }, nowMs);
}

/** State of feeds, ordered by source, but for `ended_row` and `settled`, which only the owner of the barrier knows. */
export async function feedStates(
  db: Queryable,
  sources: readonly string[],
): Promise<FeedMessage[]> {
  return (await feedRows(db, sources)).map(feedMessage);
}

function feedMessage(feed: FeedRow): FeedMessage {
  const { source, untilMs, passedRow, passedBucketEndMs, isEnded, fingerprint, runners } = feed;
  const { worldIds } = feed;
  return {
    source,
    ...(untilMs === null ? {} : { untilTime: timestampFromMs(Math.min(untilMs, recordTimeMsMax)) }),
    passedRow: BigInt(passedRow),
    ...(passedBucketEndMs === null
      ? {}
      : { passedBucketEndTime: timestampFromMs(Math.trunc(passedBucketEndMs)) }),
    runners: runners.map(({ sessionId, worldId, strategyIds, fromRow }) => ({
      sessionId,
      worldId,
      strategyIds: [...strategyIds],
      fromRow: BigInt(fromRow),
      endedRow: -1n,
    })),
    ended: isEnded,
    fingerprint,
    worldIds: [...worldIds],
  };
}

/** Locks feeds, always in the same order. @throws {QmtlError} SOURCE_NOT_FOUND for one that does not exist. */
export async function lockFeeds(tx: Tx, sources: readonly string[]): Promise<void> {
  const found = await tx.query<{ source: string }>(
    `select source from dag.feed where source = any($1::text[]) order by source collate "C" for update`,
    [sources],
  );
  mustHave(
    sources,
    found.map((row) => row.source),
  );
}

function mustHave(wanted: readonly string[], found: readonly string[]): void {
  const there = new Set(found);
  const missing = wanted.find((source) => !there.has(source));
  if (missing !== undefined) throw unknownSource(missing);
}

function unknownSource(source: string): QmtlError {
  const metadata = { source };
  return new QmtlError("SOURCE_NOT_FOUND", `no replay source named ${source}`, { metadata });
}
