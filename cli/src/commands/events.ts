import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type ControlEvent,
  ControlEventSchema,
  Topic,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateChange } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import {
  ControlStreamService,
  type LastApplied,
  LastAppliedSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { hasReason } from "@qmtl/sdk/errors";
import type { Command } from "commander";
import { jsonOf } from "../json-of.ts";
import { enumName, printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";

/** Topics of `--follow`. */
const followed = [
  Topic.GATE,
  Topic.POLICY,
  Topic.QUEUE,
  Topic.ORDER,
  Topic.HALT,
  Topic.REBALANCING,
] as const;

function print(session: CommandSession, event: ControlEvent): void {
  if (session.asJson) {
    printJson(jsonOf(ControlEventSchema, event));
    return;
  }
  const time = event.time ? timestampDate(event.time).toISOString() : "-";
  const gate = event.payload.case === "gateEvent" ? event.payload.value : undefined;
  const change = gate === undefined ? "" : ` ${enumName(GateChange, gate.change).toLowerCase()}`;
  const fence = gate?.state === undefined ? "" : `  fence ${gate.state.fence}`;
  console.log(`${time}  ${event.topicKey}#${event.revision}  ${event.type}${change}${fence}`);
}

/** Prints events of a world as they come. A ticket expires after some minutes: the stream continues with a new one. */
async function follow(session: CommandSession, worldId: string): Promise<void> {
  const applied = new Map<string, LastApplied>();
  for (;;) {
    try {
      await followOnce(session, worldId, applied);
      return;
    } catch (failure) {
      if (!hasReason(failure, "TICKET_EXPIRED")) throw failure;
    }
  }
}

async function followOnce(
  session: CommandSession,
  worldId: string,
  applied: Map<string, LastApplied>,
): Promise<void> {
  const control = session.client(ControlStreamService);
  const { ticket } = await control.issueTicket({
    worldId,
    topics: [...followed],
    rights: [TicketRight.OBSERVE],
  });
  const lastApplied = [...applied.values()];
  for await (const { event } of control.subscribe({ ticket, lastApplied })) {
    if (event === undefined || event.payload.case === "progressMark") continue;
    applied.set(event.topicKey, appliedOf(event));
    print(session, event);
  }
}

/** What a resumed stream has seen already. */
function appliedOf(event: ControlEvent): LastApplied {
  const { topicKey, revision, storeEpoch } = event;
  return create(LastAppliedSchema, { topicKey, revision, storeEpoch });
}

async function history(session: CommandSession, topicKey: string): Promise<void> {
  let pageToken = "";
  do {
    const page = await session
      .client(GatewayService)
      .listEvents({ topicKey, pageSize: 1000, pageToken });
    for (const event of page.events) print(session, event);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** `qmtl events`: control events, stored ones or as they come. */
export function addEventsCommand(program: Command): void {
  program
    .command("events")
    .description("control events, oldest first")
    .option("--topic <key>", "one topic key, such as world/demo/gate")
    .option("--world <world>", "events of a world")
    .option("--follow", "keep running and print new events; needs --world")
    .addHelpText("after", "\nExample:\n  qmtl events --topic world/demo/gate")
    .action(
      withSession(
        async (session, options: { topic?: string; world?: string; follow?: boolean }) => {
          const { topic, world, follow: isFollowed } = options;
          if (world === undefined) refuseIdle({ "--follow": isFollowed }, "without --world");
          else refuseIdle({ "--topic": topic }, "with --world");
          if (isFollowed && world !== undefined) return follow(session, world);
          await history(session, topic ?? (world === undefined ? "" : `world/${world}/gate`));
        },
      ),
    );
}
