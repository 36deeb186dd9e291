import type { Client } from "@connectrpc/connect";
import type { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type {
  QueueDataService,
  QueueRecord as WireRecord,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import type { SdkClock } from "../control/index.ts";
import { computedWindowMax } from "../queues/index.ts";
import { QueueReader } from "../sources/queue-reader.ts";
import { hostedBuild } from "./online-build.ts";
import { type ComputedRow, OnlineCompute } from "./online-compute.ts";
import type { OnlineGraph } from "./online-graph.ts";
import { type KeyPort, OnlineKey } from "./online-key.ts";
import type { LeaseKeeper } from "./online-leases.ts";

/** Services and clocks every part of a run uses. */
export interface RunPorts {
  readonly data: Client<typeof QueueDataService>;
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  readonly sessionId: string;
  readonly keyPort: KeyPort;
  readonly leases: LeaseKeeper;
  readonly onProblem: (problem: string) => void;
  /** A call nobody waits for now; a stop does. Its failure is told as a problem. */
  readonly track: (call: Promise<unknown>) => void;
}

export interface OnlineContextOptions {
  readonly ports: RunPorts;
  readonly graph: OnlineGraph;
  readonly sourceKeys: ReadonlyMap<string, OnlineKey>;
  /** Compute key by node id, computed nodes only. */
  readonly computeKeys: ReadonlyMap<string, string>;
  readonly onRow: (context: OnlineContext, row: ComputedRow) => void;
  readonly onEvaluated: (
    context: OnlineContext,
    count: number,
    row: number,
    isFirst: boolean,
  ) => void;
  readonly onWarmup: (count: number) => void;
  readonly onTakeover: (names: readonly string[], row: number) => void;
  readonly onDiverged: (name: string, row: number) => void;
  readonly hasRoom: (context: OnlineContext) => boolean;
  /** Called after each change, so that everything that can be computed is. */
  readonly onChange: () => void;
}

/** Rows after which held states are stored, and time after which they are anyway. */
const snapshotRows = 512;
const snapshotMs = 60_000;

/** The nodes of a strategy in one compute context: their keys, their stream, their leases and the computation. */
export class OnlineContext {
  readonly keys: ReadonlyMap<string, OnlineKey>;
  readonly compute: OnlineCompute;
  readonly #options: OnlineContextOptions;
  readonly #byKey = new Map<string, OnlineKey>();
  readonly #reader: QueueReader;
  #snapshotRow = 0;
  #snapshotMs: number;
  #isStopped = false;
  readonly #snapshots = new Map<OnlineKey, { row: number; hash: Uint8Array; state: Uint8Array }>();

  constructor(options: OnlineContextOptions) {
    const { ports, graph, sourceKeys, computeKeys } = options;
    this.#options = options;
    this.keys = new Map(
      graph.computed.map(({ id }) => [id, this.#makeKey(id, computeKeys.get(id)!)] as const),
    );
    for (const key of this.keys.values()) this.#byKey.set(key.computeKey, key);
    this.#snapshotMs = ports.clock.nowMs();
    this.compute = new OnlineCompute({
      graph,
      sourceKeys,
      keys: this.keys,
      onRow: (row) => {
        options.onRow(this, row);
        this.#maySnapshot();
      },
      onEvaluated: (count, row, isFirst) => options.onEvaluated(this, count, row, isFirst),
      onWarmup: options.onWarmup,
      onTakeover: options.onTakeover,
      onDiverged: options.onDiverged,
      hasRoom: () => options.hasRoom(this),
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

  /** Reads what is there, then asks for the leases and follows what comes. */
  async start(): Promise<void> {
    await this.#reader.history();
    if (this.#isStopped) return;
    this.#reader.follow();
    this.#options.ports.leases.add(this.keys.values());
  }

  /** Gives the leases up, each after its window, and computes no more. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const { ports } = this.#options;
    this.compute.stop();
    const held = [...this.keys.values()].filter((key) => key.phase !== "WAITING");
    ports.leases.drop(this.keys.values());
    await this.#drained(held);
    await this.#reader.stop();
  }

  /** Stores the states of these keys after the last row, once that row is effective. */
  storeSnapshots(keys: Iterable<OnlineKey>): void {
    for (const key of keys) {
      const found = this.compute.stateOf(key.identity.nodeId);
      if (found !== undefined) this.#snapshots.set(key, found);
    }
    this.#sendSnapshots();
  }

  #sendSnapshots(): void {
    const { ports } = this.#options;
    const snapshots = [...this.#snapshots].flatMap(([key, { row, hash, state }]) => {
      if (!(key.nextRow > row)) return [];
      this.#snapshots.delete(key);
      const found = key.row(row);
      if (found?.content === undefined) return [];
      if (!Buffer.from(hash).equals(found.content.stateHash)) return [];
      const { computeKey } = key;
      return [{ computeKey, seq: BigInt(found.seq), row: BigInt(row), stateHash: hash, state }];
    });
    if (snapshots.length === 0) return;
    const { sessionId, queues } = ports;
    ports.track(queues.putSnapshots({ sessionId, snapshots }, { timeoutMs: 2_000 }));
  }

  #makeKey(nodeId: string, computeKey: string): OnlineKey {
    const { ports, graph, sourceKeys } = this.#options;
    const node = graph.computed.find((one) => one.id === nodeId)!;
    const build = hostedBuild(graph.identified.hashCode(node.hashable.code));
    const content = { sessionId: ports.sessionId, build, feedFingerprint: "" };
    const start = () => {
      let row = Number.POSITIVE_INFINITY;
      for (const key of sourceKeys.values()) {
        row = Math.min(row, key.isStarted ? key.nextRow : graph.rows.startRow);
      }
      return { content, origin: { row, warmFromRow: graph.rows.firstRow, stateHash: "" } };
    };
    const { name } = node.declared;
    const windowMax = computedWindowMax;
    const identity = { computeKey, nodeId, name, build, isSource: false, windowMax, start };
    return new OnlineKey(identity, ports.keyPort);
  }

  #read(records: readonly WireRecord[]): void {
    for (const record of records) this.#byKey.get(record.computeKey)?.read(record);
    if (this.#snapshots.size > 0) this.#sendSnapshots();
    this.#options.onChange();
  }

  #maySnapshot(): void {
    const { clock } = this.#options.ports;
    const { lastRow } = this.compute;
    if (lastRow % 64 !== 0) return;
    const isDue = lastRow - this.#snapshotRow >= snapshotRows;
    if (!isDue && clock.nowMs() - this.#snapshotMs < snapshotMs) return;
    this.#snapshotRow = lastRow;
    this.#snapshotMs = clock.nowMs();
    this.storeSnapshots([...this.keys.values()].filter((key) => key.isHeld));
  }

  async #drained(held: readonly OnlineKey[]): Promise<void> {
    const { clock } = this.#options.ports;
    const isOpen = (): boolean =>
      held.some((key) => key.phase !== "WAITING" && key.phase !== "DIVERGED");
    for (let waitedMs = 0; isOpen() && waitedMs < 2_000; waitedMs += 20) {
      await new Promise<void>((resolve) => {
        clock.setTimer(resolve, 20);
      });
      for (const key of held) key.tick();
    }
  }
}
