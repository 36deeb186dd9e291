import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { sourceWindowMax } from "@qmtl/core/queues";
import { QueueReader } from "../sources/queue-reader.ts";
import { ReplayHolder } from "../sources/replay-holder.ts";
import { hostedBuild } from "./online-build.ts";
import type { OnlineGraph } from "./online-graph.ts";
import type { OnlineInput } from "./online-input.ts";
import { QueueReplica } from "./queue-replica.ts";
import type { RunPorts } from "./run-ports.ts";

export interface OnlineSourcesOptions {
  readonly ports: RunPorts;
  readonly graph: OnlineGraph;
  /** Compute key by node id. */
  readonly computeKeys: ReadonlyMap<string, string>;
  /** Bars a second at most, by source entry. */
  readonly speedOf: (source: string) => number | "max";
  /** This process published a row. */
  readonly onProduced: () => void;
  readonly onChange: () => void;
}

/** The source queues of a strategy: read by every process, published by the one that holds them. */
export class OnlineSources {
  readonly keys: ReadonlyMap<string, QueueReplica>;
  readonly inputs: readonly OnlineInput[];
  readonly #options: OnlineSourcesOptions;
  readonly #holders: readonly ReplayHolder[];
  readonly #reader: QueueReader;
  readonly #byKey = new Map<string, QueueReplica>();

  constructor(options: OnlineSourcesOptions) {
    const { ports, graph, computeKeys, speedOf, onProduced } = options;
    this.#options = options;
    this.keys = new Map(
      graph.sources.map(({ nodeId }) => [nodeId, this.#makeKey(nodeId, computeKeys.get(nodeId)!)]),
    );
    for (const key of this.keys.values()) this.#byKey.set(key.computeKey, key);
    this.inputs = graph.sources.map(({ nodeId, node, clock, feed }) => {
      return { nodeId, source: node.source, clock, key: this.keys.get(nodeId)!, feed };
    });
    this.#holders = graph.sources.map(({ nodeId, node, feed }) => {
      const claim = this.keys.get(nodeId)!;
      const speed = speedOf(node.source);
      return new ReplayHolder({ feed, claim, clock: ports.clock, speed, onProduced });
    });
    this.#reader = new QueueReader({
      data: ports.data,
      clock: ports.clock,
      keys: [...this.keys.values()],
      onRecords: (records) => this.#read(records),
      onProblem: ports.onProblem,
      onGone: ports.onGone,
    });
  }

  /** Reads what is there. */
  read(): Promise<void> {
    return this.#reader.history();
  }

  /** Reads everything from the first record, instead of what was read. */
  async readAgain(): Promise<void> {
    for (const key of this.keys.values()) key.restart();
    await this.read();
  }

  /** Follows what comes. */
  follow(): void {
    this.#reader.follow();
  }

  /** Stands for a feed's streams from now on. */
  claim(source: string): void {
    const own = this.inputs.filter((input) => input.source === source);
    this.#options.ports.leases.add(own.map(({ key }) => key));
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

  #makeKey(nodeId: string, computeKey: string): QueueReplica {
    const { ports, graph } = this.#options;
    const { node, feed } = graph.sources.find((source) => source.nodeId === nodeId)!;
    const build = hostedBuild(graph.identified.hashCode(node.code));
    const { fingerprint, startRow } = feed.rows;
    const content = { build, feedFingerprint: fingerprint };
    const origin = { row: startRow, warmFromRow: startRow, stateHash: "" };
    return new QueueReplica(
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
