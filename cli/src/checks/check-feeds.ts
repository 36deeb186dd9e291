import { timestampMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type { Connection } from "@qmtl/sdk/rpc";
import { workOnSlice } from "../commands/queues-advance.ts";
import { allOf } from "../pages-of.ts";
import { timeText } from "../print.ts";
import { checkWithGateway, type GatewayCaller } from "./ask-gateway.ts";
import type { Check } from "./check.ts";

/** A slice that the platform has been at for so long stands still, milliseconds. */
const standsMsMin = 10_000;

/** Checks that no replay feed stands still by itself. */
export function checkFeeds(config: QmtlConfig, caller: GatewayCaller): Promise<Check[]> {
  const failed = { name: "replay feeds", what: "cannot check whether replay feeds move" };
  return checkWithGateway(config, caller, (to) => standingChecks(to, Date.now), failed);
}

/** One check for each feed that stands still although it waits for nobody. */
export async function standingChecks(
  connection: Pick<Connection, "client">,
  nowMs: () => number,
): Promise<Check[]> {
  const client = connection.client(QueueService);
  const feeds = await allOf(
    (pageToken) => client.listFeeds({ pageToken }),
    (page) => page.feeds,
  );
  return feeds.flatMap((feed): Check[] => {
    const { source, slicePhaseTime } = feed;
    const work = workOnSlice(feed);
    if (work === undefined || slicePhaseTime === undefined) return [];
    if (nowMs() - timestampMs(slicePhaseTime) < standsMsMin) return [];
    return [
      {
        name: `feed ${source}`,
        status: "warning",
        detail: `stands still: ${work} since ${timeText(slicePhaseTime)}`,
        fix: "look at the log of the gateway; it tries again until the database and the services behind it answer",
      },
    ];
  });
}
