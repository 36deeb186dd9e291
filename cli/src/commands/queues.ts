import { create } from "@bufbuild/protobuf";
import { type FeedState, FeedStateSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  ListQueueStatsResponseSchema,
  ListQueuesByTagResponseSchema,
  QueueService,
  type QueueStats,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { intervalSeconds, nameList } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";
import { addAdvanceCommand, feedOf, limitText, timeText, waitsText } from "./queues-advance.ts";

/** `qmtl queues …`: who computes what, and the limits of replay feeds. */
export function addQueuesCommands(program: Command): void {
  const queues = program.command("queues").description("node queues and replay feeds");

  queues
    .command("list")
    .description("queues with their holders")
    .option("--strategy <id>", "only queues of a strategy")
    .option("--world <world>", "only queues of a world")
    .addHelpText("after", "\nExample:\n  qmtl queues list")
    .action(
      withSession(async (session, options: { strategy?: string; world?: string }) => {
        const client = session.client(QueueService);
        const asked = { strategyId: options.strategy ?? "", worldId: options.world ?? "" };
        const found = await allOf(
          (pageToken) => client.listQueueStats({ ...asked, pageSize: 1000, pageToken }),
          (page) => page.queues,
        );
        if (session.asJson) {
          const all = create(ListQueueStatsResponseSchema, { queues: found });
          return printJson(jsonOf(ListQueueStatsResponseSchema, all));
        }
        printTable(
          ["queue", "rows", "epoch", "holder", "candidates", "void"],
          found.map((each) => [
            each.queue?.queue ?? "",
            String(each.state?.nextRow ?? 0),
            String(each.state?.epoch ?? 0),
            each.holderSessionId || "-",
            String(each.candidates),
            String(each.voidRecords),
          ]),
        );
      }),
    );

  queues
    .command("by-tag <tags>")
    .description("queues whose node carries tags (comma separated)")
    .requiredOption(
      "--interval <interval>",
      "interval of the queues: 60, 60s, 1m, 1h",
      intervalSeconds,
    )
    .option("--all", "all tags must match")
    .addHelpText("after", "\nExample:\n  qmtl queues by-tag btc,price --interval 1m --all")
    .action(
      withSession(async (session, tags: string, options: { interval: number; all?: boolean }) => {
        const query = { tags: nameList(tags), matchAll: options.all === true };
        if (query.tags.length === 0) throw new CommandError("name at least one tag");
        const asked = { query, intervalSeconds: BigInt(options.interval), pageSize: 1000 };
        const client = session.client(QueueService);
        const queues = await allOf(
          (pageToken) => client.listQueuesByTag({ ...asked, pageToken }),
          (page) => page.queues,
        );
        const answer = create(ListQueuesByTagResponseSchema, { queues });
        if (session.asJson) return printJson(jsonOf(ListQueuesByTagResponseSchema, answer));
        printTable(
          ["queue", "compute key"],
          answer.queues.map((each) => [each.queue, each.computeKey]),
        );
      }),
    );

  queues
    .command("replay <source>")
    .description("how far a replay feed is and which runners it waits for")
    .addHelpText("after", "\nExample:\n  qmtl queues replay sp500")
    .action(
      withSession(async (session, source: string) => {
        const client = session.client(QueueService);
        const feed = await feedOf(client, source);
        if (session.asJson) return printJson(jsonOf(FeedStateSchema, feed));
        console.log(
          `${source}: row ${feed.passedRow} (${timeText(feed.passedBucketEndTime)}), may run up to ${limitText(feed.untilTime)}${togetherText(feed)}${feed.settled ? ", settled" : waitsText(feed)}`,
        );
        if (!feed.settled && feed.waitsForSources.length > 0) {
          const stats = await allOf(
            (pageToken) => client.listQueueStats({ pageSize: 1000, pageToken }),
            (page) => page.queues,
          );
          for (const each of feed.waitsForSources) console.log(publisherText(each, stats));
        }
        printTable(["session", "world", "ended row", "dropped"], sessionRows(feed));
      }),
    );

  addAdvanceCommand(queues);
}

/** Who publishes a feed whose next row is not known: the session that computes its queue. */
function publisherText(source: string, stats: readonly QueueStats[]): string {
  const own = stats.filter(({ queue }) => queue?.source === source);
  const holders = [...new Set(own.map((each) => each.holderSessionId).filter(Boolean))];
  if (holders.length > 0)
    return `feed ${source} is published by session ${holders.join(", ")}, which has not offered its next row yet`;
  return `feed ${source} is published by nobody: run a strategy that reads it, or unbind those that do`;
}

/** One row for each session of a feed: those that it waits for, and those that it dropped, on their way back or not. */
function sessionRows({ runners, droppedSessionIds }: FeedState): string[][] {
  const dropped = new Set(droppedSessionIds);
  const known = new Set(runners.map(({ sessionId }) => sessionId));
  return [
    ...runners.map(({ sessionId, worldId, endedRow }) => [
      ...[sessionId, worldId, String(endedRow)],
      dropped.has(sessionId) ? "yes, coming back" : "",
    ]),
    ...[...dropped].filter((id) => !known.has(id)).map((id) => [id, "", "", "yes"]),
  ];
}

/** The feeds that move with a feed, for people; empty for none. */
function togetherText({ source, timelineSources }: FeedState): string {
  const others = timelineSources.filter((each) => each !== source);
  return others.length === 0 ? "" : `, together with ${others.join(", ")}`;
}
