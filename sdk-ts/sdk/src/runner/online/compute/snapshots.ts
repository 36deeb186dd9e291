import type { Client } from "@connectrpc/connect";
import type {
  GetSnapshotsResponse,
  NodeSnapshot,
  QueueService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { inChunks, queueKeysMax } from "@qmtl/core/queues";
import { pause, type SdkClock } from "../../../control/index.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RunPorts } from "../log/run-ports.ts";
import type { RunReports } from "../session/run-reporter.ts";
import { shortHash } from "./hashes.ts";
import type { KeptState, KeptStates } from "./snapshot-history.ts";

interface SnapshotCacheOptions {
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  /** Queue of each computed node. */
  readonly replicas: ReadonlyMap<string, QueueReplica>;
  /** Length in bytes of the state of each node with state. */
  readonly stateLengths: ReadonlyMap<string, number>;
  readonly signal: AbortSignal;
  readonly reports: RunReports;
}

interface Kept extends KeptState {
  readonly seq: number;
  readonly hash: Uint8Array;
}

const attemptsMax = 3;
const againMs = 200;
const callMsMax = 5_000;
/** Largest number of snapshots of one node in memory: the newest are kept. */
const statesMax = 8;

/**
 * The snapshots of a context's nodes. A snapshot is accepted only if its compute key and the length of its state are
 * those of the node, its bytes match the hash it states, and the log's record carries the same hash (Q10). Others are
 * reported and ignored; without any, the nodes are warmed from their whole past.
 */
export class SnapshotCache {
  readonly #options: SnapshotCacheOptions;
  #kept: ReadonlyMap<string, readonly Kept[]> = new Map();

  constructor(options: SnapshotCacheOptions) {
    this.#options = options;
  }

  /** The snapshots accepted so far, newest first per node. */
  get states(): KeptStates {
    return this.#kept;
  }

  /** Requests the snapshots and checks what can be checked without the log. */
  async load(): Promise<void> {
    this.#kept = await this.#believable(attemptsMax);
  }

  /**
   * Requests the snapshots again, while the log is being read, and adds those that the log confirms so far. A failure
   * is not reported and changes nothing: the next call tries again.
   */
  async refresh(): Promise<void> {
    const { replicas } = this.#options;
    const asked = await this.#believable(1);
    const merged = new Map(this.#kept);
    for (const [nodeId, all] of asked) {
      const own = this.#kept.get(nodeId) ?? [];
      const nextRow = replicas.get(nodeId)?.nextRow ?? Number.NaN;
      const isOwn = ({ row }: Kept): boolean => own.some((each) => each.row === row);
      const news = all.filter((one) => one.row < nextRow && !isOwn(one));
      const confirmed = news.filter((one) => this.#confirms(nodeId, one) === true);
      const newest = [...confirmed, ...own].sort((a, b) => b.row - a.row);
      merged.set(nodeId, newest.slice(0, statesMax));
    }
    this.#kept = merged;
  }

  /** The stored snapshots, without those that cannot belong to their node. */
  async #believable(attempts: number): Promise<ReadonlyMap<string, readonly Kept[]>> {
    const { replicas, stateLengths, reports } = this.#options;
    const byKey = new Map<string, string>();
    for (const nodeId of stateLengths.keys()) {
      const replica = replicas.get(nodeId);
      if (replica !== undefined) byKey.set(replica.computeKey, nodeId);
    }
    const kept = new Map<string, Kept[]>();
    if (byKey.size === 0) return kept;
    for (const snapshot of await this.#ask([...byKey.keys()], attempts)) {
      const nodeId = byKey.get(snapshot.computeKey);
      const problem =
        nodeId === undefined
          ? "it is of another node"
          : problemOf(snapshot, stateLengths.get(nodeId) ?? 0);
      if (nodeId === undefined || problem !== undefined) {
        reports.problem(`a snapshot of row ${snapshot.row} is ignored: ${problem}`);
        continue;
      }
      const { seq, row, stateHash: hash, state } = snapshot;
      const own = kept.get(nodeId) ?? [];
      own.push({ seq: Number(seq), row: Number(row), hash, state });
      kept.set(nodeId, own);
    }
    for (const own of kept.values()) own.sort((a, b) => b.row - a.row);
    return kept;
  }

  /**
   * Drops the snapshots that the log, which has now been read, does not confirm. False if the log contradicts one of
   * them: if reading began at that snapshot, too little may have been read.
   */
  confirm(): boolean {
    let isTrue = true;
    const confirmed = new Map<string, readonly Kept[]>();
    for (const [nodeId, all] of this.#kept) {
      const own = all.filter((one) => {
        const isConfirmed = this.#confirms(nodeId, one);
        if (isConfirmed === false) isTrue = false;
        return isConfirmed === true;
      });
      confirmed.set(nodeId, own);
    }
    this.#kept = confirmed;
    return isTrue;
  }

  /** Whether the log agrees with a snapshot; undefined if the row is not here. */
  #confirms(nodeId: string, { row, seq, hash }: Kept): boolean | undefined {
    const { replicas, reports } = this.#options;
    const replica = replicas.get(nodeId);
    if (replica === undefined || row < replica.firstRow) return undefined;
    const found = replica.row(row);
    const logHash = found?.content?.stateHash;
    const isOwn = logHash !== undefined && Buffer.from(logHash).equals(hash);
    if (isOwn && found?.seq === seq) return true;
    const { name } = replica.identity;
    reports.problem(`a snapshot of node "${name}" at row ${row} is ignored: the log differs`);
    return false;
  }

  async #ask(computeKeys: readonly string[], attempts: number): Promise<readonly NodeSnapshot[]> {
    const found: NodeSnapshot[] = [];
    for (const chunk of inChunks(computeKeys, queueKeysMax)) {
      for (let rest: readonly string[] = chunk; rest.length > 0; ) {
        const answer = await this.#askSome(rest, attempts);
        if (answer === undefined) return found;
        found.push(...answer.snapshots);
        // If no snapshot came, the remaining keys would be requested for ever.
        rest = answer.snapshots.length === 0 ? [] : answer.remainingKeys;
      }
    }
    return found;
  }

  /** One answer; undefined if every attempt failed. */
  async #askSome(
    computeKeys: readonly string[],
    attempts: number,
  ): Promise<GetSnapshotsResponse | undefined> {
    const { queues, clock, signal, reports } = this.#options;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const call = { signal, timeoutMs: callMsMax };
        return await queues.getSnapshots({ computeKeys: [...computeKeys] }, call);
      } catch (failure) {
        if (signal.aborted || attempts === 1) return undefined;
        const problem = failure instanceof Error ? failure.message : String(failure);
        reports.problem(`snapshots are not available: ${problem}`);
        if (attempt === attempts) return undefined;
        await pause(clock, againMs * 2 ** attempt, signal);
      }
    }
    return undefined;
  }
}

function problemOf({ stateHash, state }: NodeSnapshot, length: number): string | undefined {
  if (state.length !== length) return `expected ${length} bytes of state, found ${state.length}`;
  if (!Buffer.from(shortHash(state)).equals(stateHash)) return "its bytes do not match its hash";
  return undefined;
}

/**
 * Number of rows, and milliseconds, after which the states of held nodes are stored, whichever comes first. All
 * processes store at multiples of this number of rows, so that nodes held by different processes have snapshots at the
 * same row, from which a context can continue.
 */
const snapshotRows = 512;
const snapshotMs = 60_000;
/** Longest call that stores states, a thousand at most, milliseconds. */
const storeMsMax = 10_000;

/** State of a node after a row. */
export interface NodeState {
  readonly row: number;
  readonly hash: Uint8Array;
  readonly state: Uint8Array;
}

/** Gives the states of held nodes. Implemented by `OnlineContext`. */
export interface NodeStates {
  /** State of a held node after the last row; undefined for a node that is not held or has no state. */
  stateOf(nodeId: string): NodeState | undefined;
}

/** Stores the states of held nodes, regularly and on request, each once its row is effective. */
export class SnapshotWriter {
  readonly #ports: RunPorts;
  readonly #states: NodeStates;
  readonly #waiting = new Map<QueueReplica, NodeState>();
  /** Queues that are given up at this moment. */
  readonly #last = new Set<QueueReplica>();
  #sending: Promise<void> | undefined;
  /** Settles with the calls so far. */
  #sent: Promise<unknown> = Promise.resolve();
  #lastRow = 0;
  #lastMs: number;

  constructor(ports: RunPorts, states: NodeStates) {
    this.#ports = ports;
    this.#states = states;
    this.#lastMs = ports.clock.nowMs();
  }

  /** Stores the states of the held nodes after this row, if they are due. */
  look(row: number, replicas: Iterable<QueueReplica>): void {
    const nowMs = this.#ports.clock.nowMs();
    const isSameRows = Math.floor(row / snapshotRows) === Math.floor(this.#lastRow / snapshotRows);
    if (isSameRows && nowMs - this.#lastMs < snapshotMs) return;
    this.#lastRow = row;
    this.#lastMs = nowMs;
    this.store([...replicas].filter((replica) => replica.isHeld));
  }

  /** Stores the states of these queues after the last row, once that row is effective. */
  store(replicas: Iterable<QueueReplica>): void {
    for (const replica of replicas) {
      const found = this.#states.stateOf(replica.identity.nodeId);
      if (found !== undefined) this.#waiting.set(replica, found);
    }
    this.send();
  }

  /**
   * Stores the state of a node whose queue is about to be given up; settles when that is done, or cannot be. Those of one
   * moment go together: a run may have more of them than a server takes calls.
   */
  async storeLast(replica: QueueReplica): Promise<void> {
    const found = this.#states.stateOf(replica.identity.nodeId);
    if (found !== undefined) this.#waiting.set(replica, found);
    this.#last.add(replica);
    this.#sending ??= Promise.resolve().then(() => {
      this.#sending = undefined;
      this.send();
      this.#last.clear();
    });
    await this.#sending;
    await this.#sent;
  }

  /** Sends the states whose rows have become effective; those of `#last` even if they are no longer held. */
  send(): void {
    const snapshots = [...this.#waiting].flatMap(([replica, { row, hash, state }]) => {
      if (!(replica.nextRow > row)) return [];
      this.#waiting.delete(replica);
      // The lease was lost meanwhile, and only a holder's snapshot is accepted.
      if (replica.phase === "WAITING" && !this.#last.has(replica)) return [];
      const found = replica.row(row);
      if (found?.content === undefined) return [];
      if (!Buffer.from(hash).equals(found.content.stateHash)) return [];
      const { computeKey } = replica;
      return [{ computeKey, seq: BigInt(found.seq), row: BigInt(row), stateHash: hash, state }];
    });
    if (snapshots.length === 0) return;
    const { tickets, queues, tasks } = this.#ports;
    const calls = inChunks(snapshots, queueKeysMax).map((chunk) =>
      tickets.call((ticket) =>
        queues.putSnapshots({ ticket, snapshots: chunk }, { timeoutMs: storeMsMax }),
      ),
    );
    for (const call of calls) tasks.track(call);
    this.#sent = Promise.allSettled([this.#sent, ...calls]).then(() => undefined);
  }
}
