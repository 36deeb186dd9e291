import type { Client } from "@connectrpc/connect";
import type { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { SdkClock, TicketedCalls } from "../control/index.ts";
import type { QmtlError } from "../rpc/index.ts";
import type { LeaseKeeper } from "./online-leases.ts";
import type { KeyPort } from "./queue-replica.ts";

/** Services and clocks every part of a run uses. */
export interface RunPorts {
  readonly data: Client<typeof QueueDataService>;
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  /** As the gateway named the session; empty before the first ticket. */
  readonly sessionId: string;
  /** Calls in the name of the session. */
  readonly tickets: TicketedCalls;
  readonly keyPort: KeyPort;
  readonly leases: LeaseKeeper;
  readonly onProblem: (problem: string) => void;
  /** The log has lost what this run has read: it ends. */
  readonly onGone: (failure: QmtlError) => void;
  /** A call nobody waits for now; a stop does. Its failure is told as a problem. */
  readonly track: (call: Promise<unknown>) => void;
}
