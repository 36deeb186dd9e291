import { inChunks, queueKeysMax } from "@qmtl/core/queues";
import type { SdkTimer } from "../../../control/index.ts";
import type { RunPorts } from "../log/run-ports.ts";

/** Leases for which nobody may have held a queue, or waited to, before the strategies that need it are taken out. */
const patienceLeases = 3;
/** How often in the time of a lease the DAG Manager is asked who holds the queues. */
const asksPerLease = 3;
/** Longest wait for its answer, milliseconds. */
const answerMsMax = 4_000;

/** A queue as the watch sees it: how far its log has come, and the node it is of. */
interface WatchedQueue {
  readonly computeKey: string;
  readonly logEpoch: number;
  readonly nextSeq: number;
  readonly identity: { readonly name: string; readonly nodeId: string };
}

interface HolderWatchPorts {
  readonly clock: RunPorts["clock"];
  readonly leases: Pick<RunPorts["leases"], "leaseMs">;
  readonly queues: Pick<RunPorts["queues"], "listQueueStats">;
  readonly reports: Pick<RunPorts["reports"], "problem">;
  /** Looks again at what is lacking. */
  readonly run: Pick<RunPorts["run"], "moveOn">;
  readonly tasks: Pick<RunPorts["tasks"], "track">;
}

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
   * @param abandoned all queues that the build may not continue and nobody holds, those before them in the graph among
   *   them
   */
  constructor(lacking: readonly WatchedQueue[], abandoned: readonly WatchedQueue[]) {
    super(
      `nobody computes ${namesOf(abandoned)}: this build has computed them otherwise than their logs have them, so it may not continue them. Run the strategy with the build that wrote the logs, in another world, or with these nodes changed, so that they have queues of their own`,
    );
    this.nodeIds = new Set(lacking.map(({ identity }) => identity.nodeId));
  }
}

/**
 * Lets no context wait for ever, and its feeds with it, for queues that it may not continue and that nobody else does.
 * A second truth is never published under their keys; the strategies that need them are to be taken out. A queue that
 * another session holds, or waits to hold, is waited for as long as it takes: its holder may itself wait for a feed.
 */
export class HolderWatch {
  readonly #ports: HolderWatchPorts;
  #timer: SdkTimer | undefined;
  #asking = new AbortController();
  /** What was waited for when it was last looked at: each queue with its last holder and record. */
  #awaited = "";
  #sinceMs = 0;
  #excluded: readonly WatchedQueue[] = [];
  /** Excluded queues that nobody held according to every answer since then, by key; in the time of the run. */
  readonly #vacantMs = new Map<string, number>();
  /** When the last answer came, in the time of the run. */
  #answeredMs = 0;
  /** Those of them that nobody has held for so long that nobody will. */
  #abandoned: ReadonlySet<string> = new Set();

  constructor(ports: HolderWatchPorts) {
    this.#ports = ports;
  }

  /**
   * Takes the queues that are lacking now, and all that the build may not continue. Returns true once they have been
   * waited for longer than a lease.
   *
   * @throws {QueueDivergedError} when nobody has held some of them for the time in which another would have taken over
   */
  look(lacking: readonly WatchedQueue[], excluded: readonly WatchedQueue[]): boolean {
    const awaited = lacking.map(({ computeKey, logEpoch, nextSeq }) => {
      return `${computeKey} ${logEpoch} ${nextSeq}`;
    });
    const { clock, leases, reports } = this.#ports;
    const nowMs = clock.elapsedMs();
    if (awaited.join() !== this.#awaited) {
      this.stop();
      this.#awaited = awaited.join();
      this.#sinceMs = nowMs;
    }
    if (lacking.length === 0) return false;
    const isAbandoned = ({ computeKey }: WatchedQueue) => this.#abandoned.has(computeKey);
    const orphans = lacking.filter(isAbandoned);
    if (orphans.length > 0) throw new QueueDivergedError(orphans, excluded.filter(isAbandoned));
    reports.problem(
      `waits for the next rows of ${namesOf(lacking)}, which this build may not compute: it has computed them otherwise than their logs have them`,
    );
    this.#excluded = excluded;
    this.#timer ??= clock.setTimer(() => this.#ask(), leases.leaseMs / asksPerLease);
    return nowMs - this.#sinceMs >= leases.leaseMs;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#asking.abort();
    this.#vacantMs.clear();
    this.#abandoned = new Set();
  }

  #ask(): void {
    const { reports, run, tasks } = this.#ports;
    const asking = new AbortController();
    this.#asking = asking;
    const keys = [...new Set(this.#excluded.map(({ computeKey }) => computeKey))];
    const asked = this.#vacantOf(keys, asking.signal)
      .then(
        (vacant) => {
          if (!asking.signal.aborted) this.#take(vacant);
        },
        (failure: unknown) => {
          if (asking.signal.aborted) return;
          // Who held them meanwhile is not known.
          this.#vacantMs.clear();
          reports.problem(failure instanceof Error ? failure.message : String(failure));
        },
      )
      .finally(() => {
        if (asking.signal.aborted) return;
        this.#timer = undefined;
        run.moveOn();
      });
    tasks.track(asked);
  }

  /** Those of the queues that nobody holds or waits to hold. */
  async #vacantOf(keys: readonly string[], signal: AbortSignal): Promise<Set<string>> {
    const { queues: service } = this.#ports;
    const answers = inChunks(keys, queueKeysMax).map((computeKeys) =>
      service.listQueueStats(
        { computeKeys, pageSize: computeKeys.length },
        { signal, timeoutMs: answerMsMax },
      ),
    );
    const stats = (await Promise.all(answers)).flatMap(({ queues }) => queues);
    const vacant = stats.filter((one) => one.holderSessionId === "" && one.candidates === 0);
    return new Set(vacant.flatMap(({ queue }) => queue?.computeKey ?? []));
  }

  #take(vacant: ReadonlySet<string>): void {
    const { clock, leases } = this.#ports;
    const nowMs = clock.elapsedMs();
    // The process stood still: who held them meanwhile is not known.
    if (nowMs - this.#answeredMs > leases.leaseMs + answerMsMax) this.#vacantMs.clear();
    this.#answeredMs = nowMs;
    for (const key of this.#vacantMs.keys()) if (!vacant.has(key)) this.#vacantMs.delete(key);
    for (const key of vacant) if (!this.#vacantMs.has(key)) this.#vacantMs.set(key, nowMs);
    const longMs = patienceLeases * leases.leaseMs;
    const long = [...this.#vacantMs].filter(([, sinceMs]) => nowMs - sinceMs >= longMs);
    this.#abandoned = new Set(long.map(([key]) => key));
  }
}

function namesOf(replicas: readonly WatchedQueue[]): string {
  return replicas.map(({ identity }) => `"${identity.name}"`).join(", ");
}
