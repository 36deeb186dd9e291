/** An order as the paper broker accepted it. Times are milliseconds since the epoch. */
export interface AcceptedOrder {
  readonly orderId: string;
  readonly strategyId: string;
  readonly lots: number;
  readonly bucketMs: number;
  readonly reduceOnly: boolean;
  readonly fence: number;
  readonly decisionId: string;
  readonly origin: string;
  readonly acceptedMs: number;
  /** `filled`, `cancelled`, or empty while it is working. */
  readonly outcome: string;
}

interface Execution {
  readonly executionId: string;
  readonly orderId: string;
  readonly lots: number;
}

/** An order as it is in the gateway's books. */
interface BookedOrder {
  readonly orderId: string;
  readonly lots: number;
  readonly filledLots: number;
  readonly state: string;
  readonly fence: number;
}

export interface JournalLine {
  readonly entry: number;
  readonly body: string;
}

export interface AuditLine {
  readonly entry: number;
  readonly type: string;
  readonly fence: number;
  readonly revision: number;
  readonly timeMs: number;
  readonly body: Readonly<Record<string, unknown>>;
}

interface ApplyRunLine {
  readonly runId: string;
  readonly state: string;
  readonly planDecisionId: string;
}

/** One state of the gate that a subscriber saw; its sightings are kept in order of arrival. */
export interface Sighting {
  readonly subscriber: string;
  readonly storeEpoch: number;
  readonly revision: number;
  readonly fence: number;
}

/** The world at rest, as its read calls show it. */
export interface WorldSample {
  readonly revision: number;
  readonly active: readonly string[];
  /** Strategies whose binding has the stage paper. */
  readonly onPaper: readonly string[];
  /** Strategies whose effective mode is paper on both sides. */
  readonly effectiveOnPaper: readonly string[];
}

/** Everything that one story left: the broker's own record, the world's audit, and what observers received. */
export interface StoryRecord {
  readonly leaseMs: number;
  readonly accepted: readonly AcceptedOrder[];
  readonly executions: readonly Execution[];
  readonly booked: readonly BookedOrder[];
  /** Lots of the account, summed over the broker's sub-accounts. */
  readonly heldLots: number;
  readonly journal: readonly JournalLine[];
  /** Entries that a watcher of the journal received. */
  readonly journalTold: readonly JournalLine[];
  readonly audit: readonly AuditLine[];
  readonly runs: readonly ApplyRunLine[];
  /** Creation time of each decision. */
  readonly decisions: ReadonlyMap<string, number>;
  readonly sightings: readonly Sighting[];
  readonly samples: readonly WorldSample[];
  /** Strategies whose submission was acknowledged. */
  readonly submissionsTold: readonly string[];
  /** Strategies that have a completed submission and a binding. */
  readonly submissions: readonly string[];
}
