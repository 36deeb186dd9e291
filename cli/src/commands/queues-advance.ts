import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type FeedState,
  FeedStateSchema,
  SlicePhase,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { isDateText, parseTimeText, timeForms } from "@qmtl/sdk/config";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { numberIn } from "../option-values.ts";
import { isoTime, printJson, printNote } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";
import { waitFor } from "../wait-for.ts";

/** `qmtl queues advance SOURCE`: the limit of a replay feed. */
export function addAdvanceCommand(queues: Command): void {
  queues
    .command("advance <source>")
    .description("move the limit of a replay feed, and of those that move with it, forward")
    .option("--to <time>", "date or time with its zone; a date lets the daily bar of that day pass")
    .option("--end", "remove the limit")
    .option("--wait", "wait until every runner has finished what passes, and it is booked")
    .option("--timeout <seconds>", "longest wait (default: 120)", numberIn({ min: 0 }))
    .addHelpText("after", "\nExample:\n  qmtl queues advance sp500 --to 2015-02-03 --wait")
    .action(withSession(advance));
}

interface AdvanceOptions {
  to?: string;
  end?: boolean;
  wait?: boolean;
  timeout?: number;
}

/** Milliseconds since the epoch of a time; a bare date means the end of its daily bucket. */
function timeFromText(text: string): number {
  const ms = parseTimeText(text);
  if (Number.isNaN(ms)) {
    const hint = `write ${timeForms}`;
    throw new CommandError(`${text} is not a date or time`, ExitCode.usage, hint);
  }
  return isDateText(text) ? ms + 86_400_000 : ms;
}

async function advance(
  session: CommandSession,
  source: string,
  options: AdvanceOptions,
): Promise<void> {
  if ((options.to === undefined) === (options.end !== true))
    throw new CommandError("give either --to TIME or --end");
  const { timeout = 120 } = options;
  if (!options.wait) refuseIdle({ "--timeout": options.timeout }, "without --wait");
  const untilMs = options.to === undefined ? 0 : timeFromText(options.to);
  const queues = session.client(QueueService);
  const toEnd = options.end === true;
  const answer = await queues.advanceFeed({
    scope: scopeOf(source),
    to: toEnd
      ? { case: "toEnd", value: true }
      : { case: "untilTime", value: timestampFromMs(untilMs) },
  });
  const limit = oneFeed(answer.feeds, source);
  const otherwise = toEnd ? undefined : whyItRunsOn(source, limit.untilTime, untilMs);
  if (otherwise !== undefined) printNote(otherwise, session.asJson);
  if (!options.wait) {
    if (!session.asJson)
      return console.log(`${source} may run up to ${limitText(limit.untilTime)}`);
    return printJson(jsonOf(FeedStateSchema, limit));
  }
  let last = limit;
  const settled = await waitFor(
    async () => {
      last = await feedOf(queues, source);
      return isThere(last, toEnd ? undefined : untilMs) ? last : undefined;
    },
    { timeoutMs: timeout * 1000 },
  );
  if (!settled)
    throw new CommandError(
      `${source} did not settle within ${timeout} s${waitsText(last)}`,
      ExitCode.refused,
      `\`qmtl queues replay ${source}\` shows which runners it waits for`,
    );
  if (session.asJson) return printJson(jsonOf(FeedStateSchema, settled));
  console.log(`${source} at row ${settled.passedRow}, ${timeText(settled.passedBucketEndTime)}`);
}

/**
 * Whether a feed is settled at the time it was to advance to. With a limit at or past that time it is, even if no row
 * ends there: no further row may pass. A feed without a limit does not settle before its end: there, the last row that
 * passed decides, once its runners have ended it.
 */
function isThere(feed: FeedState, untilMs: number | undefined): boolean {
  const { ended, untilTime, passedBucketEndTime, settled, waitsForSessionIds } = feed;
  if (settled && (ended || untilMs === undefined)) return ended;
  if (untilMs === undefined) return false;
  if (untilTime !== undefined) return settled && timestampMs(untilTime) >= untilMs;
  const isPassed = passedBucketEndTime !== undefined && timestampMs(passedBucketEndTime) >= untilMs;
  return isPassed && waitsForSessionIds.length === 0;
}

/** What a feed waits for, for people; empty for nothing. */
export function waitsText(feed: FeedState): string {
  const { waitsForSources, waitsForSessionIds, slicePhaseTime } = feed;
  const work = workOnSlice(feed);
  if (work !== undefined) return `, ${work} since ${timeText(slicePhaseTime)}`;
  const waits = [
    ...waitsForSources.map((source) => `feed ${source} (SLICE_WAITS_FOR_FEED)`),
    ...waitsForSessionIds.map((sessionId) => `session ${sessionId}`),
  ];
  return waits.length === 0 ? "" : `, waits for ${waits.join(", ")}`;
}

/** What the platform does with the last slice of a feed; undefined where it waits for somebody else. */
export function workOnSlice(feed: FeedState): string | undefined {
  switch (feed.slicePhase) {
    case SlicePhase.APPEND:
      return feed.waitsForSources.length > 0 ? undefined : "its rows are being stored";
    case SlicePhase.BOOK:
      return "its bars are being booked";
    case SlicePhase.TAKE:
      return "its targets are being taken";
    default:
      return undefined;
  }
}

const scopeOf = (source: string) => ({ scope: { case: "source" as const, value: source } });

/** State of one feed. */
export async function feedOf(
  queues: Client<typeof QueueService>,
  source: string,
): Promise<FeedState> {
  const { feeds } = await queues.listFeeds({ scope: scopeOf(source) });
  return oneFeed(feeds, source);
}

function oneFeed(feeds: readonly FeedState[], source: string): FeedState {
  const [feed] = feeds;
  if (feed !== undefined) return feed;
  throw new CommandError(`the response does not contain feed ${source}`);
}

/** Why a feed does not stop where it was to: it has no limit, or a later one. Undefined when it stops there. */
function whyItRunsOn(
  source: string,
  limit: Timestamp | undefined,
  untilMs: number,
): string | undefined {
  if (limit === undefined)
    return `${source} has no limit and runs to its end; \`until: start\` in its entry of the platform's qmtl.yml gives it one`;
  if (timestampMs(limit) <= untilMs) return undefined;
  return `the limit of ${source} is already at ${timeText(limit)}, and moves only forward`;
}

/** The limit of a feed, as text. */
export function limitText(limit: Timestamp | undefined): string {
  return limit === undefined ? "its end" : timeText(limit);
}

/** A time for people; `-` for none. */
export function timeText(time: Timestamp | undefined): string {
  return time === undefined ? "-" : isoTime(timestampMs(time));
}
