import type { Client } from "@connectrpc/connect";
import type { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type { SdkClock } from "../control/index.ts";
import type { KeyPort } from "./online-key.ts";
import type { LeaseKeeper } from "./online-leases.ts";

/** Services and clocks every part of a run uses. */
export interface RunPorts {
  readonly data: Client<typeof QueueDataService>;
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  readonly sessionId: string;
  /** Ticket of the session; empty before the first. */
  readonly ticket: () => string;
  /** A call was refused for its ticket: another one is asked for. */
  readonly onTicketRefused: (ticket: string) => void;
  readonly keyPort: KeyPort;
  readonly leases: LeaseKeeper;
  readonly onProblem: (problem: string) => void;
  /** A call nobody waits for now; a stop does. Its failure is told as a problem. */
  readonly track: (call: Promise<unknown>) => void;
}
