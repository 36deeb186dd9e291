import type { Client } from "@connectrpc/connect";
import type { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { TicketedCalls } from "../../../control/index.ts";
import type { OngoingRun, RunClock, RunTasks } from "../session/ongoing-run.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { HeldLeases } from "./held-leases.ts";
import type { ReplicaPort } from "./queue-replica.ts";
import type { RunnerLink } from "./runner-link.ts";

/** Access to the queues of a run's nodes, in the name of its session. */
interface RunQueues {
  readonly data: Client<typeof QueueDataService>;
  readonly queues: Client<typeof QueueService>;
  /** Calls in the name of the session. */
  readonly tickets: TicketedCalls;
  readonly leases: HeldLeases;
  readonly link: RunnerLink;
  readonly replicaPort: ReplicaPort;
}

/** What every part of a run uses. */
export interface RunPorts extends RunQueues {
  readonly clock: RunClock;
  readonly reports: RunReports;
  /** Calls in the background, which only the end of the run waits for. */
  readonly tasks: RunTasks;
  readonly run: OngoingRun;
}
