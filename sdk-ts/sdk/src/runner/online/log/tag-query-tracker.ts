import type { QueueDescriptor } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type ClockSpec, continuousClock, observedClock } from "@qmtl/core/dataflow";
import { computedWindowMax } from "@qmtl/core/queues";
import type { QmtlConfig } from "../../../config/index.ts";
import { pause } from "../../../control/index.ts";
import { parseInterval } from "../../../sources/index.ts";
import type { TagMatch } from "../../../strategy/graphs.ts";
import type { TagMapFile } from "../../source-files/tag-map-file.ts";
import type { MergedGraph, OnlineQuery } from "../session/graph.ts";
import type { OnlineInput } from "./input.ts";
import { QueueReader } from "./queue-reader.ts";
import { QueueReplica } from "./queue-replica.ts";
import type { RunPorts } from "./run-ports.ts";

interface TagQueryTrackerOptions {
  readonly ports: RunPorts;
  readonly graph: MergedGraph;
  /** Context whose computed queues count; undefined: source queues only. */
  readonly context: ComputeContext | undefined;
  /** The `sources:` of the configuration. */
  readonly entries: QmtlConfig["sources"];
  /** Interval at which the queues are requested without notice of a change, milliseconds. */
  readonly pollMs: number;
  /** Stores the queues that were found, for offline runs. */
  readonly tagMap: TagMapFile;
}

/** Notified when the queues of tag queries change. Implemented by `OnlineContext`. */
export interface TagListener {
  /** The set of matching queues has changed. */
  rewire(): void;
}

/** A queue that was found, read from its first record. */
interface Found {
  readonly input: OnlineInput;
  readonly reader: QueueReader;
}

/** Largest number of queues of one query; of more, the first by name are taken. */
const tagMatchesMax = 1_000;
const pageRows = 100;
/** Wait after a failed request, milliseconds: doubled each time, up to `againMsMax`. */
const againMs = 500;
const againMsMax = 4_000;

/**
 * The queues that the tag queries of a strategy find: requested at the start, at each notice of a change, and at
 * regular intervals. Each queue found is read here; the listener wires it to the queries.
 */
export class TagQueryTracker {
  readonly #options: TagQueryTrackerOptions;
  readonly #stop = new AbortController();
  readonly #queues = new Map<string, Found>();
  #matches: ReadonlyMap<string, readonly QueueDescriptor[]> = new Map();
  #wake = new AbortController();
  #waiting: (() => void)[] = [];
  #loop: Promise<void> = Promise.resolve();
  #listener: TagListener | undefined;

  constructor(options: TagQueryTrackerOptions) {
    this.#options = options;
  }

  /** Whether every query has found a queue. */
  get isResolved(): boolean {
    return this.#options.graph.queries.every(
      ({ nodeId }) => (this.#matches.get(nodeId)?.length ?? 0) > 0,
    );
  }

  /** The queues that the queries found, by the query's node id. */
  get matches(): ReadonlyMap<string, readonly TagMatch[]> {
    return new Map(
      [...this.#matches].map(([nodeId, queues]) => [
        nodeId,
        queues.map((queue) => {
          return { nodeId: queue.nodeId, name: queue.queue, clock: this.#clockOf(queue) };
        }),
      ]),
    );
  }

  /** The queues found that are not streams of the strategy itself. */
  get inputs(): readonly OnlineInput[] {
    return [...this.#queues.values()].map(({ input }) => input);
  }

  /** Resolves when every query has found a queue and its stored records were read, or when the tracker was stopped. */
  async resolve(listener: TagListener): Promise<void> {
    this.#listener = listener;
    if (this.#options.graph.queries.length === 0) return;
    this.#loop = this.#run();
    await this.#until(() => this.isResolved);
  }

  /** Requests the queues now, because they may have changed. */
  poke(): void {
    this.#wake.abort();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.poke();
    // A reader tries again until it is stopped, and the loop may be waiting for one.
    for (const { reader } of this.#queues.values()) reader.stop();
    await this.#loop;
  }

  #until(isDone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (isDone() || this.#stop.signal.aborted) resolve();
        else this.#waiting.push(look);
      };
      look();
    });
  }

  async #run(): Promise<void> {
    const { ports, pollMs } = this.#options;
    const { signal } = this.#stop;
    let isTold = false;
    let failures = 0;
    while (!signal.aborted) {
      let waitMs = pollMs;
      this.#wake = new AbortController();
      try {
        await this.#ask();
        if (!this.isResolved && !isTold) ports.reports.problem(this.#unresolved());
        isTold = true;
        failures = 0;
      } catch (failure) {
        ports.reports.problem(failure instanceof Error ? failure.message : String(failure));
        waitMs = Math.min(againMsMax, againMs * 2 ** failures++);
      }
      for (const look of this.#waiting.splice(0)) look();
      // `stop` wakes it as well.
      await pause(ports.clock, waitMs, this.#wake.signal);
    }
    for (const look of this.#waiting.splice(0)) look();
  }

  #unresolved(): string {
    const open = this.#options.graph.queries.filter(
      ({ nodeId }) => !this.#matches.get(nodeId)?.length,
    );
    const what = open
      .map(({ name, node }) => `"${name}" (${node.queryTags.join(", ")})`)
      .join(", ");
    return `no queue carries the tags of ${what} yet; the run waits`;
  }

  async #ask(): Promise<void> {
    const { graph, tagMap, ports } = this.#options;
    const matches = new Map<string, readonly QueueDescriptor[]>();
    for (const query of graph.queries) matches.set(query.nodeId, await this.#list(query));
    const before = namesOf(this.#matches);
    if (namesOf(matches) === before) return;
    for (const query of graph.queries) {
      const queues = matches.get(query.nodeId) ?? [];
      // A query finds no queue before its producers have started; what it found last is more useful to an offline run.
      if (queues.length > 0) tagMap.put(query, queues);
    }
    await this.#open(matches);
    this.#matches = matches;
    this.#close(matches);
    if (before !== "") ports.run.guard(() => this.#listener?.rewire());
  }

  async #list({ node, nodeId, intervalSeconds }: OnlineQuery): Promise<QueueDescriptor[]> {
    const { ports, context, graph } = this.#options;
    const query = { tags: [...node.queryTags], matchAll: node.matchMode === "all" };
    const computed = new Set(graph.computed.map(({ id }) => id));
    const found: QueueDescriptor[] = [];
    for (let pageToken = ""; ; ) {
      const answer = await ports.queues.listQueuesByTag(
        {
          query,
          intervalSeconds: BigInt(intervalSeconds),
          pageSize: pageRows,
          pageToken,
          ...(context === undefined ? {} : { context }),
        },
        { signal: this.#stop.signal, timeoutMs: 10_000 },
      );
      // A strategy declares its own nodes as inputs; a query is for queues that it does not know.
      found.push(...answer.queues.filter((one) => !computed.has(one.nodeId)));
      pageToken = answer.nextPageToken;
      if (pageToken === "") return found;
      if (found.length < tagMatchesMax) continue;
      ports.reports.problem(
        `query ${nodeId} finds more than ${tagMatchesMax} queues; the first are taken`,
      );
      return found.slice(0, tagMatchesMax);
    }
  }

  /** Reads the stored records of the queues that are new, then follows them. */
  async #open(matches: ReadonlyMap<string, readonly QueueDescriptor[]>): Promise<void> {
    const { graph } = this.#options;
    const own = new Set(graph.sources.map(({ nodeId }) => nodeId));
    for (const queue of [...matches.values()].flat()) {
      if (this.#stop.signal.aborted) return;
      if (own.has(queue.nodeId) || this.#queues.has(queue.nodeId)) continue;
      const found = this.#read(queue);
      this.#queues.set(queue.nodeId, found);
      await found.reader.history();
      if (this.#stop.signal.aborted) return;
      found.reader.follow();
    }
  }

  #close(matches: ReadonlyMap<string, readonly QueueDescriptor[]>): void {
    const wanted = new Set([...matches.values()].flat().map(({ nodeId }) => nodeId));
    for (const [nodeId, { reader }] of this.#queues) {
      if (wanted.has(nodeId)) continue;
      this.#queues.delete(nodeId);
      reader.stop();
    }
  }

  #read(queue: QueueDescriptor): Found {
    const { ports } = this.#options;
    const { computeKey, nodeId, queue: name } = queue;
    const source = this.#feedOf(queue);
    const identity = {
      computeKey,
      nodeId,
      name,
      source: source === "" ? undefined : source,
      build: "",
      isSource: false,
      windowMax: computedWindowMax,
      start: (): never => {
        throw new Error(`queue ${name} is only read`);
      },
    };
    const replica = new QueueReplica(identity, ports.replicaPort);
    const reader = new QueueReader({
      data: ports.data,
      clock: ports.clock,
      keys: [replica],
      link: ports.link,
      onRecords: (records) => {
        for (const record of records) replica.read(record);
        ports.run.moveOn();
      },
      onProblem: (problem) => ports.reports.problem(problem),
    });
    const input = { nodeId, source, clock: this.#clockOf(queue), replica, feed: undefined };
    return { input, reader };
  }

  /**
   * Feed by whose rows a queue is numbered: its own, or the only one that a computed queue depends on, if its buckets are as
   * long; empty for any other queue. Where that feed has no row, the queue has none, and is not waited for.
   */
  #feedOf({ source, context, intervalSeconds }: QueueDescriptor): string {
    if (source !== "") return source;
    const [pin, ...others] = context?.pins ?? [];
    if (pin === undefined || others.length > 0) return "";
    const entry = this.#options.entries[pin.source];
    const isSame = entry !== undefined && parseInterval(entry.interval) === Number(intervalSeconds);
    return isSame ? pin.source : "";
  }

  /** Rows of one feed share a clock; a computed queue has a clock of its own and is matched by its bucket ends. */
  #clockOf({ source, queue, intervalSeconds }: QueueDescriptor): ClockSpec {
    const intervalMs = Number(intervalSeconds) * 1_000;
    const own = this.#options.graph.sources.find((one) => one.node.source === source);
    if (own !== undefined && own.clock.intervalMs === intervalMs) return own.clock;
    if (this.#options.entries[source]?.schedule === "continuous")
      return continuousClock(intervalMs);
    return observedClock(source === "" ? queue : source, intervalMs);
  }
}

function namesOf(matches: ReadonlyMap<string, readonly QueueDescriptor[]>): string {
  return [...matches]
    .map(
      ([query, queues]) =>
        `${query}:${queues
          .map(({ computeKey }) => computeKey)
          .sort()
          .join()}`,
    )
    .join(";");
}
