import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import { sourceWindowMax } from "../queues/index.ts";
import { QueueReader } from "../sources/queue-reader.ts";
import { ReplayHolder } from "../sources/replay-holder.ts";
import { hostedBuild } from "./online-build.ts";
import type { RunPorts } from "./online-context.ts";
import type { OnlineGraph } from "./online-graph.ts";
import { OnlineKey } from "./online-key.ts";

export interface OnlineSourcesOptions {
  readonly ports: RunPorts;
  readonly graph: OnlineGraph;
  /** Compute key by node id. */
  readonly computeKeys: ReadonlyMap<string, string>;
  readonly speed: number | "max";
  /** This process published a row. */
  readonly onProduced: () => void;
  readonly onChange: () => void;
}

/** The source queues of a strategy: read by every process, published by the one that holds them. */
export class OnlineSources {
  readonly keys: ReadonlyMap<string, OnlineKey>;
  readonly #options: OnlineSourcesOptions;
  readonly #holders: readonly ReplayHolder[];
  readonly #reader: QueueReader;
  readonly #byKey = new Map<string, OnlineKey>();

  constructor(options: OnlineSourcesOptions) {
    const { ports, graph, computeKeys, speed, onProduced } = options;
    this.#options = options;
    this.keys = new Map(
      graph.sources.map(({ nodeId }) => [nodeId, this.#makeKey(nodeId, computeKeys.get(nodeId)!)]),
    );
    for (const key of this.keys.values()) this.#byKey.set(key.computeKey, key);
    this.#holders = graph.sources.map(({ nodeId, feed }) => {
      const claim = this.keys.get(nodeId)!;
      return new ReplayHolder({ feed, claim, clock: ports.clock, speed, onProduced });
    });
    this.#reader = new QueueReader({
      data: ports.data,
      clock: ports.clock,
      sessionId: ports.sessionId,
      keys: [...this.keys.values()],
      onRecords: (records) => this.#read(records),
      onProblem: ports.onProblem,
    });
  }

  /** Every stream has ended. */
  get isEnded(): boolean {
    return [...this.keys.values()].every((key) => key.isEnded);
  }

  /** Last row that every stream has; −1 before the first. */
  get lastRow(): number {
    let last = Number.POSITIVE_INFINITY;
    for (const key of this.keys.values())
      last = Math.min(last, key.isStarted ? key.nextRow - 1 : -1);
    return last;
  }

  /** Reads what is there, then follows what comes. */
  async start(): Promise<void> {
    await this.#reader.history();
    this.#reader.follow();
  }

  /** Stands for the feed from now on. */
  claim(): void {
    this.#options.ports.leases.add(this.keys.values());
  }

  pump(): void {
    for (const holder of this.#holders) holder.pump();
  }

  /** Publishes no more and gives the leases up. */
  release(): void {
    for (const holder of this.#holders) holder.stop();
    this.#options.ports.leases.drop(this.keys.values());
  }

  stop(): Promise<void> {
    return this.#reader.stop();
  }

  #makeKey(nodeId: string, computeKey: string): OnlineKey {
    const { ports, graph } = this.#options;
    const { node } = graph.sources.find((source) => source.nodeId === nodeId)!;
    const build = hostedBuild(graph.identified.hashCode(node.code));
    const { fingerprint, startRow } = graph.rows;
    const content = { sessionId: ports.sessionId, build, feedFingerprint: fingerprint };
    const origin = { row: startRow, warmFromRow: startRow, stateHash: "" };
    return new OnlineKey(
      {
        computeKey,
        nodeId,
        name: node.source,
        build,
        isSource: true,
        windowMax: sourceWindowMax,
        start: () => ({ content, origin }),
      },
      ports.keyPort,
    );
  }

  #read(records: readonly WireRecord[]): void {
    for (const record of records) this.#byKey.get(record.computeKey)?.read(record);
    this.#options.onChange();
  }
}
