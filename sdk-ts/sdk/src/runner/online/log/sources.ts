import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { sourceWindowMax } from "@qmtl/core/queues";
import type { QmtlConfig } from "../../../config/index.ts";
import { pause } from "../../../control/index.ts";
import { QmtlError } from "../../../rpc/index.ts";
import type { MergedGraph } from "../session/graph.ts";
import type { Evaluations } from "../session/online-run.ts";
import type { OnlineInput } from "./input.ts";
import { QueueReader } from "./queue-reader.ts";
import { hostedBuild, QueueReplica } from "./queue-replica.ts";
import { ReplaySender } from "./replay-sender.ts";
import type { RunPorts } from "./run-ports.ts";

interface OnlineSourcesOptions {
  readonly ports: RunPorts;
  readonly graph: MergedGraph;
  /** Compute key by node id. */
  readonly computeKeys: ReadonlyMap<string, string>;
  /** The `sources:` of the configuration. */
  readonly entries: QmtlConfig["sources"];
  /** Counters of evaluations: each row that this process publishes counts as shared. */
  readonly evaluations: Evaluations;
}

/** The source queues of a run: read by every process, published by the one that holds them. */
export class OnlineSources {
  readonly replicas: ReadonlyMap<string, QueueReplica>;
  readonly inputs: readonly OnlineInput[];
  /** Entries of `sources:` that they read. */
  readonly entries: ReadonlySet<string>;
  readonly #options: OnlineSourcesOptions;
  readonly #holders: readonly ReplaySender[];
  readonly #reader: QueueReader;
  readonly #byKey = new Map<string, QueueReplica>();

  constructor(options: OnlineSourcesOptions) {
    const { ports, graph, computeKeys, entries, evaluations } = options;
    this.#options = options;
    this.replicas = new Map(
      graph.sources.map(({ nodeId }) => [
        nodeId,
        this.#makeReplica(nodeId, computeKeys.get(nodeId)!),
      ]),
    );
    for (const replica of this.replicas.values()) this.#byKey.set(replica.computeKey, replica);
    this.inputs = graph.sources.map(({ nodeId, node, clock, feed }) => {
      return { nodeId, source: node.source, clock, replica: this.replicas.get(nodeId)!, feed };
    });
    const names = this.inputs.map(({ source }) => source);
    this.entries = new Set(names.filter((name) => name !== ""));
    this.#holders = graph.sources.map(({ nodeId, node, feed }) => {
      const claim = this.replicas.get(nodeId)!;
      const speed = entries[node.source]?.speed ?? "max";
      const onProduced = (): void => {
        evaluations.shared++;
      };
      return new ReplaySender({ feed, claim, clock: ports.clock, speed, onProduced });
    });
    this.#reader = new QueueReader({
      data: ports.data,
      clock: ports.clock,
      keys: [...this.replicas.values()],
      link: ports.link,
      onRecords: (records) => this.#read(records),
      onProblem: (problem) => ports.reports.problem(problem),
      onGone: (failure) => ports.run.fail(failure),
    });
  }

  /**
   * Makes the queues begin at the earliest row that a context needs of their clock; to be called before any reading.
   *
   * @param needed first row that each context needs of each clock, by the clock's key; undefined: it needs all
   */
  beginAt(needed: readonly (ReadonlyMap<string, number> | undefined)[]): void {
    for (const { replica, clock, feed } of this.inputs) {
      const rows = needed.map((each) => each?.get(clock.key) ?? Number.NEGATIVE_INFINITY);
      const row = Math.min(...rows);
      if (feed !== undefined && row > feed.rows.startRow) replica.beginAt(row);
    }
  }

  /** Reads the stored records. */
  read(): Promise<void> {
    return this.#reader.history();
  }

  /** Discards what was read and reads everything from the first record. */
  async readAgain(): Promise<void> {
    for (const replica of this.replicas.values()) replica.restart();
    await this.read();
  }

  /** Follows new records. */
  follow(): void {
    this.#reader.follow();
  }

  /** Requests the leases of a feed's streams from now on. */
  claim(source: string): void {
    const own = this.inputs.filter((input) => input.source === source);
    this.#options.ports.leases.add(own.map(({ replica }) => replica));
  }

  pump(): void {
    for (const holder of this.#holders) holder.pump();
  }

  /** Stops publishing, takes back what has not passed, and gives up the leases. */
  release(): void {
    for (const holder of this.#holders) holder.stop();
    this.#options.ports.link.withdraw(this.replicas.values());
    this.#options.ports.leases.drop(this.replicas.values());
  }

  stop(): void {
    this.#reader.stop();
  }

  #makeReplica(nodeId: string, computeKey: string): QueueReplica {
    const { ports, graph } = this.#options;
    const { node, feed } = graph.sources.find((source) => source.nodeId === nodeId)!;
    const build = hostedBuild(graph.codeHashes.get(nodeId)!);
    const { fingerprint, startRow } = feed.rows;
    const content = { build, feedFingerprint: fingerprint };
    const origin = { row: startRow, warmFromRow: startRow, stateHash: "" };
    return new QueueReplica(
      {
        computeKey,
        nodeId,
        name: node.source,
        source: node.source,
        build,
        isSource: true,
        windowMax: sourceWindowMax,
        start: () => ({ content, origin }),
      },
      ports.replicaPort,
    );
  }

  #read(records: readonly WireRecord[]): void {
    const { run } = this.#options.ports;
    let isRead = false;
    run.guard(() => {
      for (const record of records) this.#byKey.get(record.computeKey)?.read(record);
      for (const input of this.inputs) checkRows(input);
      isRead = true;
    });
    if (isRead) run.moveOn();
  }
}

/**
 * Refuses a queue with rows that its file does not have: no bucket would ever be known to follow them.
 *
 * @throws {QmtlError} FEED_CHANGED
 */
function checkRows({ source, feed, replica }: OnlineInput): void {
  if (feed === undefined || !(replica.nextRow > feed.rows.endRow)) return;
  const { firstRow, endRow } = feed.rows;
  const begin = replica.isWhole ? `begins at row ${replica.firstRow} and ` : "";
  const metadata = { source, compute_key: replica.computeKey };
  throw new QmtlError(
    "FEED_CHANGED",
    `the queue of source "${source}" ${begin}expects row ${replica.nextRow} next, but its file ends before row ${endRow} (it begins at row ${firstRow}): another publisher wrote rows of other data; give the source another name under sources: and in the strategies that read it, or restore a backup of the platform from before`,
    { metadata },
  );
}

const againMs = 100;
const againMsMax = 2_000;

/** Enters this session into the runner sets of the feeds it reads, and takes it out at the end. */
export class RunnerSets {
  readonly #ports: RunPorts;
  readonly #sources: OnlineSources;
  readonly #stop = new AbortController();
  readonly #entering = new Map<string, Promise<void>>();
  /** Feeds whose set is being entered. */
  readonly #underWay = new Set<string>();

  constructor(ports: RunPorts, sources: OnlineSources) {
    this.#ports = ports;
    this.#sources = sources;
  }

  /** Enters a feed's set, once; tries again until that succeeds. */
  enter(source: string): void {
    if (this.#entering.has(source) || this.#stop.signal.aborted) return;
    this.#underWay.add(source);
    const entering = this.#enter(source).finally(() => this.#underWay.delete(source));
    this.#entering.set(source, entering);
  }

  /** Enters again the sets of feeds that dropped this session because it was silent. */
  dropped(sources: readonly string[]): void {
    for (const source of sources) {
      const entering = this.#entering.get(source);
      // A set that is being entered, for the first time or again, needs nothing more.
      if (entering === undefined || this.#underWay.has(source)) continue;
      this.#entering.delete(source);
      this.enter(source);
    }
  }

  /** Enters again every set that was entered, for the strategies that the ticket covers by now. */
  enterAgain(): void {
    this.dropped([...this.#entering.keys()]);
  }

  /** Leaves all sets. */
  async leave(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#entering.values());
    if (this.#entering.size > 0) this.#ports.link.leaveFeeds();
  }

  async #enter(source: string): Promise<void> {
    const { link, clock, reports } = this.#ports;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await link.ready([source], signal);
        // From now on the barrier waits for this session at every row of the feed.
        this.#sources.claim(source);
        return;
      } catch (failure) {
        // A session that is leaving does not report the failure of a call that it gave up.
        if (signal.aborted) return;
        reports.problem(String(failure));
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
      }
    }
  }
}
