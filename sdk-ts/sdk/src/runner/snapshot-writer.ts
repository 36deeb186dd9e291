import type { OnlineCompute } from "./online-compute.ts";
import type { QueueReplica } from "./queue-replica.ts";
import type { RunPorts } from "./run-ports.ts";

/** Rows after which held states are stored, and time after which they are anyway. */
const snapshotRows = 512;
const snapshotMs = 60_000;

type State = NonNullable<ReturnType<OnlineCompute["stateOf"]>>;

/** Stores the states of held nodes: regularly, and when it is told to; each once its row is effective. */
export class SnapshotWriter {
  readonly #ports: RunPorts;
  readonly #stateOf: (nodeId: string) => State | undefined;
  readonly #waiting = new Map<QueueReplica, State>();
  /** Settles with the calls so far. */
  #sent: Promise<unknown> = Promise.resolve();
  #lastRow = 0;
  #lastMs: number;

  constructor(ports: RunPorts, stateOf: (nodeId: string) => State | undefined) {
    this.#ports = ports;
    this.#stateOf = stateOf;
    this.#lastMs = ports.clock.nowMs();
  }

  /** Stores the states of the held keys after this row, if the last time is long enough ago. */
  look(row: number, keys: Iterable<QueueReplica>): void {
    const nowMs = this.#ports.clock.nowMs();
    if (row - this.#lastRow < snapshotRows && nowMs - this.#lastMs < snapshotMs) return;
    this.#lastRow = row;
    this.#lastMs = nowMs;
    this.store([...keys].filter((key) => key.isHeld));
  }

  /** Stores the states of these keys after the last row, once that row is effective. */
  store(keys: Iterable<QueueReplica>): void {
    for (const key of keys) {
      const found = this.#stateOf(key.identity.nodeId);
      if (found !== undefined) this.#waiting.set(key, found);
    }
    this.send();
  }

  /** Stores the state of a key that is about to be given up; settles when that is done, or cannot be. */
  async storeLast(key: QueueReplica): Promise<void> {
    const found = this.#stateOf(key.identity.nodeId);
    if (found !== undefined) this.#waiting.set(key, found);
    this.send(key);
    await this.#sent;
  }

  /** Sends what has become effective; of `last` also when it is not held any more. */
  send(last?: QueueReplica): void {
    const snapshots = [...this.#waiting].flatMap(([key, { row, hash, state }]) => {
      if (!(key.nextRow > row)) return [];
      this.#waiting.delete(key);
      // Lost meanwhile: only a holder's is taken.
      if (key.phase === "WAITING" && key !== last) return [];
      const found = key.row(row);
      if (found?.content === undefined) return [];
      if (!Buffer.from(hash).equals(found.content.stateHash)) return [];
      const { computeKey } = key;
      return [{ computeKey, seq: BigInt(found.seq), row: BigInt(row), stateHash: hash, state }];
    });
    if (snapshots.length === 0) return;
    const { tickets, queues, track } = this.#ports;
    const call = tickets.call((ticket) =>
      queues.putSnapshots({ ticket, snapshots }, { timeoutMs: 2_000 }),
    );
    track(call);
    this.#sent = Promise.allSettled([this.#sent, call]).then(() => undefined);
  }
}
