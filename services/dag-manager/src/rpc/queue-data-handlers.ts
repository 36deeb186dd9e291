import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { type Clock, type ServedService, serve } from "@qmtl/service-kit";
import type { Leadership } from "../leadership.ts";
import { sessionOf } from "../leases/session-rights.ts";
import { type ConsumeOptions, consume } from "../log/consume.ts";
import type { LogTail } from "../log/log-tail.ts";
import { type PublishPorts, publish } from "../log/publish.ts";

export interface QueueDataPorts extends PublishPorts {
  readonly tail: LogTail;
  readonly clock: Clock;
  readonly leadership: Leadership;
  readonly consume: ConsumeOptions;
}

/** Rows of node outputs, in and out. */
export function queueDataHandlers(ports: QueueDataPorts): ServedService {
  return serve(QueueDataService, {
    async publish(request, context) {
      ports.leadership.mustLead();
      return publish(ports, request, sessionOf(context));
    },
    consume: (request, context) => consume(ports, ports.consume, request, context.signal),
  });
}
