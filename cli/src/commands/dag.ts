import { create } from "@bufbuild/protobuf";
import {
  ListQueueStatsResponseSchema,
  QueueService,
  type QueueStats,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { calendarName } from "@qmtl/core/intervals";
import type { Command } from "commander";
import { jsonOf } from "../json-of.ts";
import { intervalSeconds, nameList } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { printJson, printTable } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { canonicalInterval } from "../taglint/canonical-interval.ts";
import { addDagDiffCommand } from "./dag-diff.ts";
import { addDagSnapshotCommand } from "./dag-snapshot.ts";
import { withDagSession } from "./dag-target.ts";

/** `qmtl dag …`: the global strategy graph, and what a strategy would add to it. */
export function addDagCommands(program: Command): void {
  const dag = program
    .command("dag")
    .description("the global strategy graph: what a strategy adds to it, its queues")
    .option(
      "--target <url>",
      "call this DAG Manager directly; may stand before or after the command",
    );
  addDagDiffCommand(dag);
  addDagStatsCommand(dag);
  addDagSnapshotCommand(dag);
}

interface StatsOptions {
  tag?: string[];
  all?: boolean;
  interval?: number;
}

/** `qmtl dag stats`: statistics of queues, by tag and interval. */
function addDagStatsCommand(dag: Command): void {
  dag
    .command("stats")
    .description("statistics of queues, by tag and interval")
    .option("--tag <tags>", "only queues of nodes with one of these tags", nameList)
    .option("--all", "all tags must match")
    .option("--interval <interval>", "only queues of an interval: 60, 60s, 1m, 1h", intervalSeconds)
    .addHelpText("after", "\nExample:\n  qmtl dag stats --tag price,btc --interval 1h")
    .action(
      withDagSession(async (session, options: StatsOptions) => {
        if (options.tag === undefined) refuseIdle({ "--all": options.all }, "without --tag");
        const queues =
          session.target === undefined
            ? session.client(QueueService)
            : session.dagClient(QueueService);
        const all = await allOf(
          (pageToken) => queues.listQueueStats({ pageSize: 1000, pageToken }),
          (page) => page.queues,
        );
        const found = all.filter((each) => isMeant(each, options));
        if (session.asJson) {
          const shown = create(ListQueueStatsResponseSchema, { queues: found });
          return printJson(jsonOf(ListQueueStatsResponseSchema, shown));
        }
        printTable(
          ["queue", "interval", "tags", "rows", "epoch", "strategies", "holder", "state"],
          found.map((each) => [
            each.queue?.queue ?? "",
            intervalOf(Number(each.queue?.intervalSeconds ?? 0)),
            each.queue?.tags.join(",") || "-",
            String(each.state?.nextSeq ?? 0),
            String(each.state?.epoch ?? 0),
            String(each.strategyIds.length),
            each.holderSessionId || "-",
            each.blocked ? "blocked" : each.state?.ended ? "ended" : "open",
          ]),
        );
      }),
    );
}

/** `1h`, `1mo`; "-" for what is not an interval. */
function intervalOf(seconds: number): string {
  return calendarName(seconds) ?? canonicalInterval(seconds) ?? "-";
}

function isMeant({ queue }: QueueStats, { tag = [], all, interval }: StatsOptions): boolean {
  if (interval !== undefined && Number(queue?.intervalSeconds ?? 0) !== interval) return false;
  const has = (one: string): boolean => queue?.tags.includes(one) ?? false;
  return tag.length === 0 || (all === true ? tag.every(has) : tag.some(has));
}
