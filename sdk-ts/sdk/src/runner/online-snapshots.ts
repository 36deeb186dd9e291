import type { Client } from "@connectrpc/connect";
import type {
  GetSnapshotsResponse,
  NodeSnapshot,
  QueueService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { pause, type SdkClock } from "../control/index.ts";
import { shortHash } from "./online-hashes.ts";
import type { KeptState, KeptStates } from "./online-snapshot-past.ts";
import type { QueueReplica } from "./queue-replica.ts";

export interface SnapshotShelfOptions {
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  /** Queue of each computed node. */
  readonly keys: ReadonlyMap<string, QueueReplica>;
  /** Length of the state of each node with state. */
  readonly stateLengths: ReadonlyMap<string, number>;
  readonly signal: AbortSignal;
  readonly onProblem: (problem: string) => void;
}

interface Kept extends KeptState {
  readonly seq: number;
  readonly hash: Uint8Array;
}

const attemptsMax = 3;
const againMs = 200;
const callMsMax = 5_000;
const keysMax = 1_000;

/**
 * The snapshots of a context's nodes. One is believed only if it is of this node, as its compute key and the layout of
 * its state say, its bytes have the hash it states, and the log's own record carries the same hash. Others are told
 * and left out; without any, the nodes are warmed from their whole past.
 */
export class SnapshotShelf {
  readonly #options: SnapshotShelfOptions;
  #kept: ReadonlyMap<string, readonly Kept[]> = new Map();

  constructor(options: SnapshotShelfOptions) {
    this.#options = options;
  }

  /** What is believed so far, newest first per node. */
  get states(): KeptStates {
    return this.#kept;
  }

  /** Asks for the snapshots and checks what can be checked without the log. */
  async load(): Promise<void> {
    const { keys, stateLengths, onProblem } = this.#options;
    const byKey = new Map<string, string>();
    for (const nodeId of stateLengths.keys()) {
      const key = keys.get(nodeId);
      if (key !== undefined) byKey.set(key.computeKey, nodeId);
    }
    if (byKey.size === 0) return;
    const kept = new Map<string, Kept[]>();
    for (const snapshot of await this.#ask([...byKey.keys()].slice(0, keysMax))) {
      const nodeId = byKey.get(snapshot.computeKey);
      const problem =
        nodeId === undefined
          ? "it is of another node"
          : problemOf(snapshot, stateLengths.get(nodeId) ?? 0);
      if (nodeId === undefined || problem !== undefined) {
        onProblem(`a snapshot of row ${snapshot.row} is ignored: ${problem}`);
        continue;
      }
      const { seq, row, stateHash: hash, state } = snapshot;
      const own = kept.get(nodeId) ?? [];
      own.push({ seq: Number(seq), row: Number(row), hash, state });
      kept.set(nodeId, own);
    }
    for (const own of kept.values()) own.sort((a, b) => b.row - a.row);
    this.#kept = kept;
  }

  /**
   * Drops what the log does not confirm, now that it was read. False when one of a row that was read turned out to be
   * of another history: what was read from it on may be too little.
   */
  confirm(): boolean {
    const { keys, onProblem } = this.#options;
    let isTrue = true;
    const confirmed = new Map<string, readonly Kept[]>();
    for (const [nodeId, all] of this.#kept) {
      const key = keys.get(nodeId);
      const own = all.filter((one) => {
        if (key === undefined || one.row < key.firstRow) return false;
        const found = key.row(one.row);
        const hash = found?.content?.stateHash;
        const isOwn = hash !== undefined && Buffer.from(hash).equals(one.hash);
        if (isOwn && found?.seq === one.seq) return true;
        isTrue = false;
        const { name } = key.identity;
        onProblem(`a snapshot of node "${name}" at row ${one.row} is ignored: the log differs`);
        return false;
      });
      confirmed.set(nodeId, own);
    }
    this.#kept = confirmed;
    return isTrue;
  }

  async #ask(computeKeys: readonly string[]): Promise<readonly NodeSnapshot[]> {
    const found: NodeSnapshot[] = [];
    for (let rest = computeKeys; rest.length > 0; ) {
      const answer = await this.#askSome(rest);
      if (answer === undefined) break;
      found.push(...answer.snapshots);
      // One that says nothing new would be asked for ever.
      rest = answer.snapshots.length === 0 ? [] : answer.remainingKeys;
    }
    return found;
  }

  /** One answer; undefined when there is none to be had. */
  async #askSome(computeKeys: readonly string[]): Promise<GetSnapshotsResponse | undefined> {
    const { queues, clock, signal, onProblem } = this.#options;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const call = { signal, timeoutMs: callMsMax };
        return await queues.getSnapshots({ computeKeys: [...computeKeys] }, call);
      } catch (failure) {
        if (signal.aborted) return undefined;
        const problem = failure instanceof Error ? failure.message : String(failure);
        onProblem(`snapshots are not to be had: ${problem}`);
        if (attempt === attemptsMax) return undefined;
        await pause(clock, againMs * 2 ** attempt, signal);
      }
    }
    return undefined;
  }
}

function problemOf({ stateHash, state }: NodeSnapshot, length: number): string | undefined {
  if (state.length !== length) return `it has ${state.length} bytes of state, not ${length}`;
  if (!Buffer.from(shortHash(state)).equals(stateHash)) return "its bytes do not have its hash";
  return undefined;
}
