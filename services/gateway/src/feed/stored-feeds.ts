import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { FeedState } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { StoredTimelineFeed } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type { WorldUses } from "../ports.ts";

/** A feed as the DAG Manager stores it. */
export interface StoredFeed {
  readonly source: string;
  readonly passedRow: number;
  /** End of the bucket of that row, milliseconds; −∞ before the first. */
  readonly passedMs: number;
  readonly untilMs: number | null;
  readonly isEnded: boolean;
  readonly runners: readonly StoredRunner[];
  /** Worlds whose strategies read it. */
  readonly worldIds: readonly string[];
}

interface StoredRunner {
  readonly sessionId: string;
  readonly worldId: string;
  readonly fromRow: number;
}

export function storedFeedOf(feed: FeedState): StoredFeed {
  const { source, passedRow, passedBucketEndTime: passed, untilTime, ended, runners } = feed;
  return {
    source,
    passedRow: Number(passedRow),
    passedMs: passed === undefined ? Number.NEGATIVE_INFINITY : timestampMs(passed),
    untilMs: untilTime === undefined ? null : timestampMs(untilTime),
    isEnded: ended,
    runners: runners.map(({ sessionId, worldId, fromRow }) => ({
      sessionId,
      worldId,
      fromRow: Number(fromRow),
    })),
    worldIds: [...new Set([...feed.worldIds, ...runners.map(({ worldId }) => worldId)])]
      .filter((worldId) => worldId !== "")
      .sort(),
  };
}

/** Refuses a row that the log of a feed does not have. @throws {QmtlError} INVALID_FIELD. */
export function checkInLog(feed: StoredFeed | undefined, source: string, row: number): void {
  const isEmpty = feed === undefined || feed.passedMs === Number.NEGATIVE_INFINITY;
  if (!isEmpty && row <= feed.passedRow) return;
  const description = isEmpty
    ? `${source} has no row yet`
    : `the last row of ${source} is ${feed.passedRow}`;
  throw new QmtlError("INVALID_FIELD", `row ${row} of ${source} is not in the log`, {
    fields: [{ field: "row", description }],
  });
}

/** Whether a feed is as it was known, apart from rows that have passed since. */
export function isSameFeed(known: StoredFeed | undefined, feed: StoredFeed): boolean {
  if (known === undefined || (known.passedRow < 0 && feed.passedRow >= 0)) return false;
  const fixed = ({ untilMs, runners, worldIds }: StoredFeed) =>
    JSON.stringify([untilMs, runners, worldIds]);
  return fixed(known) === fixed(feed);
}

/** A feed as its timeline is taken over with it; `isBooked`: its last row is. */
export function timelineFeedOf(feed: StoredFeed, isBooked: boolean): StoredTimelineFeed {
  const { source, passedRow: logRow, passedMs: endMs, untilMs, isEnded, runners } = feed;
  return { source, logRow, endMs, untilMs, isEnded, runners, isBooked };
}

/** All replay feeds. @throws {QmtlError} PEER_UNAVAILABLE. */
export async function readFeeds(dag: Peer, gateway: CallPrincipal): Promise<StoredFeed[]> {
  const feeds: StoredFeed[] = [];
  let pageToken = "";
  do {
    const call = { principal: gateway, timeoutMs: 5_000 };
    const answer = await dag.unary(QueueService.method.listFeeds, { pageToken }, call);
    feeds.push(...answer.feeds.map(storedFeedOf));
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  return feeds;
}

/** What a world uses beside the feeds that its strategies read; undefined while that is not known. */
type UsesOf = (worldId: string) => Promise<WorldUses | undefined>;

/**
 * Divides feeds into timelines: two feeds move together if a world uses both, or if two worlds that use them trade on
 * one account. A feed that no strategy reads moves by itself: nobody publishes it.
 */
export async function timelinesOf(
  feeds: readonly StoredFeed[],
  usesOf: UsesOf,
): Promise<Set<string>[]> {
  const uses = new Map<string, WorldUses | undefined>();
  for (const worldId of new Set(feeds.flatMap(({ worldIds }) => worldIds)))
    uses.set(worldId, await usesOf(worldId));
  const groupOf = new Map<string, Set<string>>();
  const isRead = new Set<string>();
  for (const { source, worldIds } of feeds) {
    groupOf.set(source, new Set([source]));
    if (worldIds.length > 0) isRead.add(source);
  }
  const firstOf = new Map<string, string>();
  const join = (name: string, source: string): void => {
    if (!isRead.has(source)) return;
    const first = firstOf.get(name);
    if (first === undefined) firstOf.set(name, source);
    else unite(groupOf, first, source);
  };
  for (const { source, worldIds } of feeds) {
    for (const worldId of worldIds) {
      const { accountId, sources } = uses.get(worldId) ?? { accountId: undefined, sources: [] };
      const name = accountId === undefined ? `world ${worldId}` : `account ${accountId}`;
      for (const used of [source, ...sources]) join(name, used);
    }
  }
  return [...new Set(groupOf.values())];
}

function unite(groupOf: Map<string, Set<string>>, a: string, b: string): void {
  const [into, from] = [groupOf.get(a)!, groupOf.get(b)!];
  if (into === from) return;
  for (const source of from) {
    into.add(source);
    groupOf.set(source, into);
  }
}

/** The refusal of a name that no feed has. */
export function noFeed(source: string): QmtlError {
  return new QmtlError("SOURCE_NOT_FOUND", `no feed ${source}`, { metadata: { source } });
}

/** Sessions of a world's runners on any of the feeds, each once. */
export function sessionsOf(feeds: Iterable<StoredFeed>, worldId: string): string[] {
  const ofWorld = [...feeds].flatMap(({ runners }) =>
    runners.filter((runner) => runner.worldId === worldId).map(({ sessionId }) => sessionId),
  );
  return [...new Set(ofWorld)];
}
