import {
  type HolderEffect,
  type HolderInput,
  type HolderState,
  holderStep,
  startHolder,
  usableUntil,
  windowRoom,
} from "@qmtl/core/queues";
import {
  ChainNode,
  type ChainRecord,
  feedValue,
  nodeCount,
  rowCount,
  upstreams,
} from "./queue-chain-node.ts";
import { ChainView } from "./queue-chain-view.ts";

/** A stored state snapshot. */
export interface ChainSnapshot {
  readonly seq: number;
  readonly save: string;
}

/** What a process needs from the world around it. */
export interface ProcessPorts {
  readonly log: readonly ChainRecord[][];
  readonly snapshots: ChainSnapshot[][];
  readonly random: () => number;
  readonly send: (record: ChainRecord) => void;
  readonly acquire: (node: number) => void;
  readonly renew: (node: number, epoch: number) => void;
  readonly doFeedsDisagree: boolean;
  /** Mutant: trusts a snapshot without comparing it with the log. */
  readonly trustsSnapshots: boolean;
}

const renewMs = 3_000;

/** One process: it reads the log, holds what it is granted, and computes. */
export class ChainProcess {
  readonly id: number;
  readonly incarnation: number;
  /** Ignores the end of its leases: sends until its own fold shows a later holder, and stores bad snapshots. */
  readonly isRogue: boolean;
  readonly view = new ChainView();
  readonly holders: HolderState[];
  pausedUntilMs = 0;
  diverged = 0;
  readonly #ports: ProcessPorts;
  readonly #machines = new Map<number, ChainNode>();
  readonly #renewedAtMs: number[];

  constructor(id: number, incarnation: number, isRogue: boolean, ports: ProcessPorts) {
    this.id = id;
    this.incarnation = incarnation;
    this.isRogue = isRogue;
    this.#ports = ports;
    this.holders = Array.from({ length: nodeCount }, (_, node) => startHolder(node < 2 ? 1 : 4));
    this.#renewedAtMs = this.holders.map(() => 0);
  }

  /** Gives an input to the holder of a node, and performs the effects it asks for. */
  drive(node: number, input: HolderInput): void {
    const step = holderStep(this.holders[node]!, input);
    this.holders[node] = step.state;
    for (const effect of step.effects) this.#perform(node, effect);
  }

  granted(node: number, epoch: number, sentAtMs: number, nowMs: number): void {
    const until = this.isRogue ? Number.POSITIVE_INFINITY : usableUntil(sentAtMs, 10_000, 1_000);
    this.drive(node, { kind: "granted", epoch, usableUntilMs: until, nowMs });
  }

  renewed(node: number, epoch: number, sentAtMs: number): void {
    this.drive(node, {
      kind: "renewed",
      epoch,
      usableUntilMs: usableUntil(sentAtMs, 10_000, 1_000),
    });
  }

  step(nowMs: number, canReadLog: boolean): void {
    const { random, log } = this.#ports;
    if (canReadLog) {
      this.view.read(log, 1 + Math.floor(random() * 12), (record) =>
        this.drive(record.node, { kind: "record", record, nowMs }),
      );
    }
    for (let node = 0; node < nodeCount; node++) this.#work(node, nowMs);
  }

  #work(node: number, nowMs: number): void {
    const { random, acquire, renew } = this.#ports;
    const holder = this.holders[node]!;
    if (holder.phase === "WAITING") {
      if (random() < 0.1) acquire(node);
      return;
    }
    if (holder.phase === "DIVERGED") return;
    if (nowMs - this.#renewedAtMs[node]! >= renewMs && (!this.isRogue || random() < 0.05)) {
      this.#renewedAtMs[node] = nowMs;
      renew(node, holder.epoch);
    }
    this.drive(node, { kind: "timer", nowMs });
    if (this.holders[node]!.phase === "RESTORING") this.#restore(node, nowMs);
    if (this.holders[node]!.phase === "HOLDING") this.#compute(node, nowMs);
  }

  /** Starts at the newest snapshot that the log confirms, else the origin; computes and compares rows to the fold's. */
  #restore(node: number, nowMs: number): void {
    const { fold } = this.holders[node]!;
    if (node >= 2) {
      const machine = new ChainNode(node, this.#newestSnapshot(node)?.save);
      while (machine.row < fold.nextRow) {
        const inputs = this.#inputs(node, machine.row);
        if (inputs === null) return;
        const local = machine.step(inputs);
        const published = this.view.at(node, local.row);
        const isSame =
          published !== undefined &&
          Object.is(published.value, local.value) &&
          published.stateHash === local.stateHash;
        if (isSame) continue;
        this.diverged += 1;
        const logHash = published?.stateHash ?? "";
        this.drive(node, { kind: "diverged", row: local.row, localHash: local.stateHash, logHash });
        return;
      }
      this.#machines.set(node, machine);
    }
    this.drive(node, { kind: "restored", nowMs });
  }

  #newestSnapshot(node: number): ChainSnapshot | undefined {
    const { snapshots, trustsSnapshots } = this.#ports;
    const published = snapshots[node]!.filter((s) => this.view.at(node, s.seq) !== undefined);
    const newestFirst = published.sort((a, b) => b.seq - a.seq);
    return newestFirst.find(
      (s) => trustsSnapshots || this.view.at(node, s.seq)?.stateHash === s.save,
    );
  }

  #compute(node: number, nowMs: number): void {
    const machine = this.#machines.get(node);
    while (windowRoom(this.holders[node]!, nowMs) > 0) {
      const holder = this.holders[node]!;
      const row = holder.fold.nextRow + holder.window.length;
      if (row >= rowCount) return;
      if (node < 2) {
        if (nowMs < row * 1_000) return;
        this.#produce(
          node,
          row,
          feedValue(node, row, this.id, this.#ports.doFeedsDisagree),
          "",
          nowMs,
        );
        continue;
      }
      if (machine === undefined) throw new Error("a holder without a machine");
      const inputs = this.#inputs(node, row);
      if (inputs === null || machine.row !== row) return;
      const { value, stateHash } = machine.step(inputs);
      this.#produce(node, row, value, stateHash, nowMs);
      if (row % 5 === 4) this.#storeSnapshot(node, row, machine.save());
    }
  }

  #produce(
    node: number,
    row: number,
    value: number | null,
    stateHash: string,
    nowMs: number,
  ): void {
    const kind = value === null ? "EMPTY" : "ROW";
    const range = value === null ? { toRow: row } : { rev: 0, knownAtMs: 0 };
    const record = { kind, row, ...range, node, value, stateHash, by: this.id } as const;
    this.drive(node, { kind: "produced", record, nowMs });
  }

  /** Stores a snapshot; a rogue's is wrong half of the time. */
  #storeSnapshot(node: number, row: number, save: string): void {
    const { snapshots, random } = this.#ports;
    const isBad = this.isRogue && random() < 0.5;
    const bad = save.replace(/"carry":[^,]+/, '"carry":7').replace(/"sum":[^,]+/, '"sum":7');
    snapshots[node]!.push({ seq: row, save: isBad ? bad : save });
  }

  /** One value per port from effective records only; null while one is missing. Here seq = row. */
  #inputs(node: number, row: number): (number | null)[] | null {
    const out: (number | null)[] = [];
    for (const upstream of upstreams[node]!) {
      const record = this.view.at(upstream, row);
      if (record === undefined) return null;
      out.push(record.value);
    }
    return out;
  }

  #perform(node: number, effect: HolderEffect): void {
    if (effect.kind === "append_start") {
      const payload = { node, value: null, stateHash: "", by: this.id };
      this.#ports.send({ kind: "START", epoch: effect.epoch, ...payload });
    } else if (effect.kind === "send") {
      for (const record of effect.records) this.#ports.send(record as ChainRecord);
    } else if (effect.kind === "drop_local" || effect.kind === "restore")
      this.#machines.delete(node);
  }
}
