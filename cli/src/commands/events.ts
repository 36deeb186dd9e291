import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  ControlStreamService,
  TicketPurpose,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { Command } from "commander";
import { jsonOf, printJson } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

function print(session: CommandSession, event: ControlEvent): void {
  if (session.asJson) {
    printJson(jsonOf(ControlEventSchema, event));
    return;
  }
  const time = event.time ? timestampDate(event.time).toISOString() : "-";
  const change = event.payload.case === "gateEvent" ? ` ${event.payload.value.change}` : "";
  console.log(
    `${time}  ${event.topicKey}#${event.revision}  ${event.type}${change}${event.worldFence ? `  fence ${event.worldFence}` : ""}`,
  );
}

async function follow(session: CommandSession, worldId: string): Promise<void> {
  const control = session.client(ControlStreamService);
  const topics = ["gate", "queue", "policy", "order"];
  const { ticket } = await control.issueTicket({ worldId, topics, purpose: TicketPurpose.OBSERVE });
  for await (const message of control.subscribe({ ticket })) {
    if (message.event && message.event.payload.case !== "progressMark")
      print(session, message.event);
  }
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

/** `qmtl events`: control events, kept ones or as they come. */
export function addEventsCommand(program: Command): void {
  program
    .command("events")
    .description("control events, oldest first")
    .option("--topic <key>", "one topic key, such as world/demo/gate")
    .option("--world <world>", "events of a world")
    .option("--follow", "stay and print what comes; needs --world")
    .action(
      withSession(
        async (session, options: { topic?: string; world?: string; follow?: boolean }) => {
          if (options.follow && options.world) return follow(session, options.world);
          await history(
            session,
            options.topic ?? (options.world ? `world/${options.world}/gate` : ""),
          );
        },
      ),
    );
}
