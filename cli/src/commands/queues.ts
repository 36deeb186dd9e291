import { create } from "@bufbuild/protobuf";
import {
  GetQueueStatsResponseSchema,
  GetReplayResponseSchema,
  QueueService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import {
  GatewayService,
  ListQueuesByTagResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { intervalSeconds, nameList, numberIn } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { isoTime, printJson, printTable } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";
import { waitFor } from "../wait-for.ts";

interface AdvanceOptions {
  to?: string;
  end?: boolean;
  wait?: boolean;
  timeout?: number;
}

/** Milliseconds since the epoch of a date or RFC 3339 time; a bare date means the end of its daily bucket. */
export function timeFromText(text: string): number {
  const ms = Date.parse(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  if (Number.isNaN(ms)) throw new CommandError(`${text} is not a date or RFC 3339 time`);
  return /^\d{4}-\d{2}-\d{2}$/.test(text) ? ms + 86_400_000 : ms;
}

async function advance(
  session: CommandSession,
  source: string,
  options: AdvanceOptions,
): Promise<void> {
  if ((options.to === undefined) === (options.end !== true))
    throw new CommandError("say either --to TIME or --end");
  const { timeout = 120 } = options;
  if (!options.wait) refuseIdle({ "--timeout": options.timeout }, "without --wait");
  const untilMs = options.to === undefined ? 0 : timeFromText(options.to);
  const queues = session.client(QueueService);
  await queues.advanceReplay({ source, untilMs: BigInt(untilMs), toEnd: options.end === true });
  if (!options.wait) {
    const now = await queues.getReplay({ source });
    return session.asJson
      ? printJson(jsonOf(GetReplayResponseSchema, now))
      : console.log(`${source} may run up to ${options.to ?? "its end"}`);
  }
  const settled = await waitFor(
    async () => {
      const replay = await queues.getReplay({ source });
      const there =
        options.end === true
          ? replay.ended
          : replay.ended || Number(replay.passedBucketEndMs) >= untilMs;
      return there && replay.settled ? replay : undefined;
    },
    { timeoutMs: timeout * 1000 },
  );
  if (!settled)
    throw new CommandError(
      `${source} did not settle within ${timeout} s`,
      ExitCode.refused,
      `\`qmtl queues replay ${source}\` shows whom it waits for`,
    );
  if (session.asJson) return printJson(jsonOf(GetReplayResponseSchema, settled));
  console.log(`${source} at row ${settled.passedRow}, ${isoTime(settled.passedBucketEndMs)}`);
}

/** `qmtl queues …`: who computes what, and the hold of replay feeds. */
export function addQueuesCommands(program: Command): void {
  const queues = program.command("queues").description("node queues and replay feeds");

  queues
    .command("list")
    .description("queues with their holders")
    .option("--strategy <id>", "only queues of a strategy")
    .addHelpText("after", "\nExample:\n  qmtl queues list")
    .action(
      withSession(async (session, options: { strategy?: string }) => {
        const answer = await session
          .client(QueueService)
          .getQueueStats({ strategyId: options.strategy ?? "" });
        if (session.asJson) return printJson(jsonOf(GetQueueStatsResponseSchema, answer));
        printTable(
          ["queue", "rows", "epoch", "holder", "candidates", "void"],
          answer.queues.map((each) => [
            each.queue?.queue ?? "",
            String(each.nextRow),
            String(each.epoch),
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
        const gateway = session.client(GatewayService);
        const queues = await allOf(
          (pageToken) => gateway.listQueuesByTag({ ...asked, pageToken }),
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
    .description("where a replay feed stands and whom it waits for")
    .addHelpText("after", "\nExample:\n  qmtl queues replay sp500")
    .action(
      withSession(async (session, source: string) => {
        const replay = await session.client(QueueService).getReplay({ source });
        if (session.asJson) return printJson(jsonOf(GetReplayResponseSchema, replay));
        console.log(
          `${source}: row ${replay.passedRow} (${isoTime(replay.passedBucketEndMs)}), may run up to ${replay.untilMs === undefined ? "its end" : isoTime(replay.untilMs)}${replay.settled ? ", settled" : ""}`,
        );
        printTable(
          ["session", "world", "ended row", "dropped"],
          replay.runners.map((each) => [
            each.sessionId,
            each.worldId,
            String(each.endedRow),
            each.dropped ? "yes" : "",
          ]),
        );
      }),
    );

  queues
    .command("advance <source>")
    .description("move the hold of a replay feed forward")
    .option("--to <time>", "date or RFC 3339 time; a date lets its daily bar pass")
    .option("--end", "no hold from now on")
    .option("--wait", "until every runner has ended that row and the router has booked it")
    .option("--timeout <seconds>", "longest wait (default: 120)", numberIn({ min: 0 }))
    .addHelpText("after", "\nExample:\n  qmtl queues advance sp500 --to 2015-02-03 --wait")
    .action(withSession(advance));
}
