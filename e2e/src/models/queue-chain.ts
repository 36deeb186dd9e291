import { NodeLeaseTable } from "@qmtl/core/queues";
import { ChainNode, type ChainRecord, nodeCount, rowCount, upstreams } from "./queue-chain-node.ts";
import { ChainProcess, type ChainSnapshot, type ProcessPorts } from "./queue-chain-process.ts";
import { type ChainCheckpoint, ChainView, partitionOf } from "./queue-chain-view.ts";

/** Failure found by a run of the chain, null for none, and counts of what happened in it. */
export interface ChainResult {
  readonly failure: string | null;
  readonly voids: number;
  readonly takeovers: number;
  readonly diverged: number;
}

const leaseMs = 10_000;
const faultsUntilMs = 45_000;
const endMs = 150_000;
const keyOf = (node: number): string => `k${node}`;

interface Message {
  readonly atMs: number;
  readonly deliver: () => void;
}

/**
 * One seeded run: four processes (some rogue) hold five nodes over two partitions. Processes pause and crash, the lease
 * owner and the broker go down, appends are delayed, lost and duplicated, readers join and resume from checkpoints. At
 * the end all readers must agree (Q1), rows must have no gap (Q2), and each computed queue must equal an undisturbed
 * run over the same effective source rows, bit by bit (Q3).
 */
export class ChainRun {
  readonly #random: () => number;
  readonly #log: ChainRecord[][] = [[], []];
  readonly #snapshots: ChainSnapshot[][] = Array.from({ length: nodeCount }, () => []);
  readonly #processes: ChainProcess[] = [];
  readonly #ports: Omit<ProcessPorts, "acquire" | "renew">;
  readonly #checkpoints: ChainCheckpoint[] = [];
  readonly #observer = new ChainView();
  readonly #readers: (ChainView | null)[] = [null, null, null];
  readonly #finished: ChainView[] = [];
  #messages: Message[] = [];
  #table = new NodeLeaseTable([], { leaseMs, leadershipBeganAtMs: Number.NEGATIVE_INFINITY });
  #ownerUpAtMs = 0;
  #isOwnerUp = true;
  #brokerUpAtMs = 0;
  #nowMs = 0;
  #incarnations = 0;
  #diverged = 0;

  constructor(random: () => number, trustsSnapshots: boolean) {
    this.#random = random;
    const send = (record: ChainRecord): void => this.#append(record);
    const { doFeedsDisagree } = { doFeedsDisagree: random() < 0.5 };
    this.#ports = {
      log: this.#log,
      snapshots: this.#snapshots,
      random,
      send,
      doFeedsDisagree,
      trustsSnapshots,
    };
    for (let id = 0; id < 4; id++) this.#processes.push(this.#newProcess(id, random() < 0.35));
  }

  run(): ChainResult {
    while (this.#nowMs < endMs) {
      this.#nowMs += 100;
      const isCalm = this.#nowMs > faultsUntilMs;
      if (!isCalm) this.#faults();
      else this.#endFaults();
      this.#deliver();
      this.#runOwner();
      for (const process of this.#processes) {
        if (process.pausedUntilMs <= this.#nowMs) process.step(this.#nowMs, this.#isBrokerUp());
      }
      this.#runReaders();
      if (isCalm && this.#nowMs % 1_000 === 0 && this.#isDone()) break;
    }
    return this.#judge();
  }

  #newProcess(id: number, isRogue: boolean): ChainProcess {
    const incarnation = this.#incarnations++;
    return new ChainProcess(id, incarnation, isRogue, {
      ...this.#ports,
      acquire: (node) => this.#askOwner(id, incarnation, node, this.#nowMs, "acquire", 0),
      renew: (node, epoch) => this.#askOwner(id, incarnation, node, this.#nowMs, "renew", epoch),
    });
  }

  // ---- broker and messages -----------------------------------------------------------------------

  #append(record: ChainRecord): void {
    const random = this.#random;
    const land = (): void => {
      this.#log[partitionOf(record.node)]!.push(record);
    };
    if (random() < 0.04) return;
    const late = random() < 0.03 ? random() * 20_000 : 0;
    this.#post(random() * 150 + late, land);
    if (random() < 0.06) this.#post(random() * (random() < 0.3 ? 20_000 : 500), land);
  }

  #post(delayMs: number, deliver: () => void): void {
    this.#messages.push({ atMs: this.#nowMs + delayMs, deliver });
  }

  #isBrokerUp(): boolean {
    return this.#nowMs >= this.#brokerUpAtMs;
  }

  #deliver(): void {
    const due = this.#messages.filter((m) => m.atMs <= this.#nowMs);
    this.#messages = this.#messages.filter((m) => m.atMs > this.#nowMs);
    for (const m of due) m.deliver();
  }

  // ---- the owner of the leases -------------------------------------------------------------------

  #askOwner(
    id: number,
    incarnation: number,
    node: number,
    sentAtMs: number,
    what: "acquire" | "renew",
    epoch: number,
  ): void {
    const key = keyOf(node);
    const sessionId = `${id}.${incarnation}`;
    this.#post(this.#random() * 100, () => {
      if (!this.#isOwnerUp) return;
      if (what === "acquire") {
        const candidate = {
          sessionId,
          build: "b",
          reachesUpstreams: true,
          hasUpstreamsLocally: false,
        };
        this.#table.acquire(key, candidate, this.#nowMs);
        return;
      }
      const answer = this.#table.renew(key, { sessionId, epoch }, this.#nowMs);
      if (answer.renewed) this.#tell(id, incarnation, (p) => p.renewed(node, epoch, sentAtMs));
    });
  }

  #tell(id: number, incarnation: number, say: (process: ChainProcess) => void): void {
    const deliver = (): void => {
      const process = this.#processes[id]!;
      if (process.incarnation !== incarnation) return;
      if (process.pausedUntilMs > this.#nowMs)
        this.#post(process.pausedUntilMs - this.#nowMs, deliver);
      else say(process);
    };
    this.#post(this.#random() * 100, deliver);
  }

  #runOwner(): void {
    if (!this.#isOwnerUp && this.#nowMs >= this.#ownerUpAtMs) {
      const rows = Array.from({ length: nodeCount }, (_, node) => this.#table.row(keyOf(node)));
      this.#table = new NodeLeaseTable(rows, { leaseMs, leadershipBeganAtMs: this.#nowMs });
      this.#isOwnerUp = true;
    }
    if (!this.#isOwnerUp) return;
    if (this.#isBrokerUp()) {
      this.#observer.read(this.#log, 20);
      if (this.#random() < 0.05) this.#checkpoints.push(this.#observer.checkpoint());
    }
    for (let node = 0; node < nodeCount; node++) this.#grant(node);
  }

  #grant(node: number): void {
    const proposal = this.#table.proposeGrant(keyOf(node), this.#nowMs);
    if (proposal === null) return;
    const isUnknown = this.#random() < 0.1;
    this.#table.settle(proposal, isUnknown ? "unknown" : "committed", this.#nowMs);
    if (isUnknown) {
      this.#table.reread(this.#random() < 0.5 ? proposal.row : proposal.before, this.#nowMs);
      return;
    }
    const [id, incarnation] = proposal.row.sessionId!.split(".").map(Number);
    const { epoch } = proposal.row;
    const sentAtMs = this.#nowMs - 100;
    this.#tell(id!, incarnation!, (p) => p.granted(node, epoch, sentAtMs, this.#nowMs));
  }

  // ---- faults ------------------------------------------------------------------------------------

  #faults(): void {
    const random = this.#random;
    if (random() < 0.002) this.#brokerUpAtMs = this.#nowMs + random() * 6_000;
    if (this.#isOwnerUp && random() < 0.002) {
      this.#isOwnerUp = false;
      this.#ownerUpAtMs = this.#nowMs + random() * 12_000;
    }
    for (const [id, process] of this.#processes.entries()) {
      if (random() < 0.002) process.pausedUntilMs = this.#nowMs + random() * 30_000;
      if (random() >= 0.001) continue;
      this.#diverged += process.diverged;
      this.#processes[id] = this.#newProcess(id, process.isRogue);
    }
  }

  #endFaults(): void {
    this.#brokerUpAtMs = Math.min(this.#brokerUpAtMs, this.#nowMs);
    this.#ownerUpAtMs = Math.min(this.#ownerUpAtMs, this.#nowMs);
    for (const process of this.#processes) {
      process.pausedUntilMs = Math.min(process.pausedUntilMs, this.#nowMs);
    }
  }

  /** Lets readers join at a random checkpoint, read on, and resume from one of their own. */
  #runReaders(): void {
    for (const [i, reader] of this.#readers.entries()) {
      if (reader === null) {
        const at = this.#checkpoints[Math.floor(this.#random() * this.#checkpoints.length)];
        if (this.#random() < 0.01) this.#readers[i] = new ChainView(at);
        continue;
      }
      if (this.#isBrokerUp()) reader.read(this.#log, 1 + Math.floor(this.#random() * 6));
      if (this.#random() >= 0.01) continue;
      this.#finished.push(reader);
      this.#readers[i] = new ChainView(reader.checkpoint());
    }
  }

  // ---- judgement ---------------------------------------------------------------------------------

  #whole(): ChainView {
    const view = new ChainView();
    view.read(this.#log, Number.MAX_SAFE_INTEGER);
    return view;
  }

  #isDone(): boolean {
    return this.#whole().folds.every((fold) => fold.nextRow === rowCount);
  }

  #judge(): ChainResult {
    const truth = this.#whole();
    const count = truth.taken.reduce((sum, records) => sum + records.length, 0);
    const takeovers = truth.taken.flatMap((records) =>
      records.filter((r, i) => i > 0 && records[i - 1]!.by !== r.by),
    ).length;
    const diverged = this.#processes.reduce((sum, p) => sum + p.diverged, this.#diverged);
    const voids = this.#log[0]!.length + this.#log[1]!.length - count;
    return { failure: this.#failure(truth, diverged), voids, takeovers, diverged };
  }

  #failure(truth: ChainView, diverged: number): string | null {
    for (let node = 0; node < nodeCount; node++) {
      const records = truth.taken[node]!;
      const gap = records.findIndex((record, i) => record.row !== i || record.seq !== i);
      if (gap >= 0) return `Q2: node ${node} has a gap at ${gap}`;
      const isShort = records.length !== rowCount;
      if (isShort)
        return `liveness: node ${node} stopped at row ${records.length} (${diverged} diverged)`;
    }
    const views = [
      this.#observer,
      ...this.#finished,
      ...this.#readers,
      ...this.#processes.map((p) => p.view),
    ];
    for (const view of views) {
      if (view === null) continue;
      const wrong = view.taken.findIndex((records, node) =>
        records.some((record, i) => truth.taken[node]![view.base[node]! + i] !== record),
      );
      if (wrong >= 0) return `Q1: a reader sees another node ${wrong}`;
    }
    return (
      undisturbedDifference(truth) ??
      (diverged > 0 ? "Q3: an honest build diverged from the log" : null)
    );
  }
}

function undisturbedDifference(truth: ChainView): string | null {
  for (let node = 2; node < nodeCount; node++) {
    const machine = new ChainNode(node);
    for (const record of truth.taken[node]!) {
      const inputs = upstreams[node]!.map((upstream) => truth.taken[upstream]![machine.row]!.value);
      const { row, value, stateHash } = machine.step(inputs);
      if (!Object.is(value, record.value) || stateHash !== record.stateHash) {
        return `Q3: node ${node} row ${row} is ${record.value}, undisturbed ${value}`;
      }
    }
  }
  return null;
}
