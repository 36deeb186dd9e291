import type { SdkTimer } from "../../../control/index.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RunPorts } from "../log/run-ports.ts";

/** Leases for which the next row of a queue is waited for: one until a silent holder is replaced, two to take over. */
const patienceLeases = 3;

/**
 * Nobody computes a node any more: the run's build has computed it otherwise than its log has it, so it may not publish
 * its next rows, and nobody else does.
 */
export class QueueDivergedError extends Error {
  override readonly name = "QueueDivergedError";
  /** Ids of the nodes. */
  readonly nodeIds: ReadonlySet<string>;

  /**
   * @param lacking queues whose next rows are needed
   * @param excluded all queues that the build may not continue, those before them in the graph among them
   */
  constructor(lacking: readonly QueueReplica[], excluded: readonly QueueReplica[]) {
    super(
      `nobody computes ${namesOf(excluded)}: this build has computed them otherwise than their logs have them, so it may not continue them. Run the strategy with the build that wrote the logs, in another world, or with these nodes changed, so that they have queues of their own`,
    );
    this.nodeIds = new Set(lacking.map(({ identity }) => identity.nodeId));
  }
}

/**
 * Lets no context wait for ever, and its feeds with it, for queues that it may not continue and that nobody else does.
 * A second truth is never published under their keys; the strategies that need them are to be taken out.
 */
export class HolderWatch {
  readonly #ports: Pick<RunPorts, "clock" | "leases" | "reports" | "run">;
  #timer: SdkTimer | undefined;
  /** What was waited for when it was last looked at: each queue with its last holder and record. */
  #awaited = "";
  #sinceMs = 0;

  constructor(ports: Pick<RunPorts, "clock" | "leases" | "reports" | "run">) {
    this.#ports = ports;
  }

  /**
   * Takes the queues that are lacking now, and all that the build may not continue.
   *
   * @throws {QueueDivergedError} when nobody has continued them for the time in which another would have taken over
   */
  look(lacking: readonly QueueReplica[], excluded: Iterable<QueueReplica>): void {
    const awaited = lacking.map(({ computeKey, logEpoch, nextSeq }) => {
      return `${computeKey} ${logEpoch} ${nextSeq}`;
    });
    const { clock, leases, reports, run } = this.#ports;
    const nowMs = clock.elapsedMs();
    if (awaited.join() !== this.#awaited) {
      this.stop();
      this.#awaited = awaited.join();
      this.#sinceMs = nowMs;
    }
    if (lacking.length === 0) return;
    const waitMs = this.#sinceMs + patienceLeases * leases.leaseMs - nowMs;
    if (waitMs <= 0) throw new QueueDivergedError(lacking, [...excluded]);
    reports.problem(
      `waits for the next rows of ${namesOf(lacking)}, which this build may not compute: it has computed them otherwise than their logs have them`,
    );
    this.#timer ??= clock.setTimer(() => {
      this.#timer = undefined;
      run.moveOn();
    }, waitMs);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

function namesOf(replicas: readonly QueueReplica[]): string {
  return replicas.map(({ identity }) => `"${identity.name}"`).join(", ");
}
