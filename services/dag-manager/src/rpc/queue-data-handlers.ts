import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type PublishRequest,
  type PublishResponseSchema,
  QueueDataService,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { type QueueRecord, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type Clock,
  type LeadershipTracker,
  type ServedService,
  type SessionScope,
  serve,
} from "@qmtl/service-kit";
import type { NodeLeases } from "../leases/node-leases.ts";
import { type SessionRights, sessionOf } from "../leases/session-rights.ts";
import { type ConsumeOptions, consume } from "../log/consume.ts";
import { foldMessage } from "../log/fold-message.ts";
import type { LogTail } from "../log/log-tail.ts";
import type { QueueLog } from "../log/queue-log.ts";

interface QueueDataPorts {
  readonly log: QueueLog;
  readonly nodeLeases: NodeLeases;
  readonly rights: SessionRights;
  readonly tail: LogTail;
  readonly clock: Clock;
  readonly leader: LeadershipTracker;
  readonly consume: ConsumeOptions;
}

/** Serves QueueDataService: publishes and reads the rows of queues. */
export function queueDataHandlers(ports: QueueDataPorts): ServedService {
  const reading = { ...ports, aloneSinceMs: () => ports.leader.readySinceMs };
  return serve(QueueDataService, {
    async publish(request, context) {
      ports.leader.mustLead();
      return publish(ports, request, sessionOf(context));
    },
    consume: (request, context) => consume(reading, ports.consume, request, context.signal),
  });
}

/**
 * Appends the records that a session publishes; void ones are reported in the results.
 *
 * @throws {QmtlError} TICKET_SCOPE for a key that the session may not publish, or an epoch that another session holds
 * (Q12); QUEUE_NOT_FOUND, RECORD_TOO_LARGE. Nothing is stored.
 */
async function publish(
  { log, nodeLeases, rights }: QueueDataPorts,
  request: PublishRequest,
  scope: SessionScope,
): Promise<MessageInitShape<typeof PublishResponseSchema>> {
  const { sessionId } = scope;
  await rights.check(
    scope,
    request.records.map(({ computeKey }) => computeKey),
  );
  for (const record of request.records) {
    if (nodeLeases.isOfAnother(record.computeKey, Number(record.leaseEpoch), sessionId)) {
      throw epochOfAnother(record, sessionId);
    }
    // The writer is the ticket's session, whatever the record says.
    if (record.body.case === "start") record.body.value.sessionId = sessionId;
  }
  const results = await log.append(request.records, await rights.pins(scope, request.records));
  return {
    results: results.map(({ fault, state }) => ({
      effective: fault === RecordFault.UNSPECIFIED,
      fault,
      state: foldMessage(state),
    })),
  };
}

function epochOfAnother({ computeKey, leaseEpoch }: QueueRecord, sessionId: string): QmtlError {
  const message = `epoch ${leaseEpoch} of ${computeKey} is held by another session`;
  const metadata = { compute_key: computeKey, epoch: String(leaseEpoch), session_id: sessionId };
  return new QmtlError("TICKET_SCOPE", message, { metadata });
}
