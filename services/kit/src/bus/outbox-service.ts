import { OutboxService } from "@qmtl/contracts/qmtl/system/v1/outbox_service_pb";
import { type ServedService, serve } from "../handlers.ts";
import type { EventSource } from "./event-source.ts";

/** Serves a log of events to those who follow it from elsewhere. */
export function outboxService(log: EventSource): ServedService {
  return serve(OutboxService, {
    async *watchEvents({ topics, cursor, fromBeginning }, { signal }) {
      const range = { topics, fromBeginning, cursor: cursor === "" ? undefined : cursor };
      for await (const watched of log.watch(range, signal)) {
        yield {
          logId: watched.logId,
          cursor: watched.cursor,
          events: watched.events.map(({ topic, key, payload, headers, position }) => ({
            topic,
            key,
            payload,
            headers,
            position: BigInt(position),
          })),
        };
      }
    },
  });
}
