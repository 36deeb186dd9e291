import type { Column, Kernel, KernelPorts } from "../nodes/kernel.ts";
import { MissingValueError, NanGuard, PortGuard } from "../nodes/port-guard.ts";
import type { ClockFrame } from "./clock-frame.ts";
import { clearRow, type EngineMemory, makeMemory } from "./engine-memory.ts";
import { missingCause } from "./missing-cause.ts";
import type { MapMode, Plan, PlanLane } from "./plan.ts";
import { ComputeError, type FailurePosition, MissingBucketError } from "./run-error.ts";

/**
 * Memory and kernels of one run of a plan. Both executors append a segment of rows to the clocks, write the supplied
 * columns, and call {@link runSegment}; they differ only in how many rows a segment has.
 */
export class Engine {
  readonly plan: Plan;
  readonly frames: readonly ClockFrame[];
  readonly columns: readonly Column[];
  readonly presence: readonly Uint8Array[];
  /** 1 for each node whose rows of the segment were written from its record (restore only). */
  readonly recorded: Uint8Array;
  /** While restoring, nodes with state are not run and nothing is counted. */
  isRestoring = false;
  readonly #memory: EngineMemory;
  readonly #kernels: readonly (Kernel | undefined)[];
  readonly #maps: readonly Int32Array[];
  readonly #order: Int32Array; // lane, or −1 − stage for a loop
  readonly #laneClock: Int32Array;
  readonly #laneRows: Float64Array; // rows beyond the clean ones, per lane
  readonly #history: Uint8Array; // per node
  readonly #straight: readonly (Straight | undefined)[]; // per clock
  readonly #guards: readonly (readonly PortGuard[])[]; // per clock, those of ports that show NaN
  #at = 0; // lane running now, for messages

  constructor(plan: Plan, chunk: number) {
    this.plan = plan;
    this.#memory = makeMemory(plan, chunk);
    this.frames = this.#memory.frames;
    this.columns = this.#memory.columns;
    this.presence = this.#memory.presence;
    this.#maps = this.#memory.maps;
    this.#kernels = plan.lanes.map((lane) => this.#makeKernel(lane));
    this.#order = Int32Array.from(plan.stages, (stage, s) =>
      stage.kind === "lane" ? stage.lane : -1 - s,
    );
    this.#laneClock = Int32Array.from(plan.lanes, (lane) => lane.clock);
    this.frames.forEach((frame, clock) => {
      frame.plainRows = plainRows(plan, clock);
    });
    this.#straight = plan.clocks.map((_, clock) => {
      const lanes = straightLanes(plan, clock);
      if (lanes === undefined) return undefined;
      const kernels = lanes.map((lane) => this.#kernels[lane]!);
      return { lanes, kernels, runs: kernels.map((kernel) => kernel.run) };
    });
    this.#guards = plan.clocks.map((_, clock) => this.#nanGuards(clock));
    this.recorded = new Uint8Array(plan.nodes.length);
    this.#laneRows = new Float64Array(plan.lanes.length);
    this.#history = Uint8Array.from(plan.nodes, (n) => (plan.historyNodes.includes(n.id) ? 1 : 0));
  }

  /** Marks a local row of a supplied (or recorded) node as missing. */
  writeMissing(node: number, i: number): void {
    const { lane, slots, clock } = this.plan.nodes[node]!;
    for (const slot of slots) clearRow(this.columns[slot]!, i);
    this.presence[lane]![i] = 0;
    const frame = this.frames[clock]!;
    frame.hasMissing = true;
    frame.segmentMissing = true;
  }

  /** Runs every lane over the opened rows and closes the segment. */
  runSegment(): void {
    const frames = this.frames;
    let advancing = 0;
    let only = 0; // the clock that advances, if it is the only one
    for (let c = 0; c < frames.length; c++) {
      const frame = frames[c]!;
      if (frame.from < 0) continue;
      advancing++;
      only = c;
      frame.close(this.isRestoring || this.#awaitsFirst(c));
    }
    const straight = this.#straight[only];
    if (advancing === 1 && straight !== undefined && frames[only]!.isClean) {
      this.#runStraight(straight, frames[only]!);
    } else {
      this.#runMapped();
    }
  }

  /** The lanes of one clock, every row ready, no loop among them: the usual case. */
  #runStraight(straight: Straight, frame: ClockFrame): void {
    const { kernels, runs } = straight;
    const { from, to, base } = frame;
    let k = 0;
    try {
      for (; k < kernels.length; k++) runs[k]!.call(kernels[k]!, from, to, base);
    } catch (cause) {
      throw this.#failure(straight.lanes[k]!, from, cause);
    }
    frame.from = -1;
  }

  #runMapped(): void {
    const { frames } = this;
    for (let m = 0; m < this.#maps.length; m++) {
      const map = this.plan.maps[m]!;
      const fine = frames[map.fine]!;
      if (fine.from < 0) continue;
      updateClockMap(this.#maps[m]!, map.mode, fine, frames[map.coarse]!);
    }
    try {
      this.#runStages();
    } catch (cause) {
      throw this.#failure(this.#at, frames[this.#laneClock[this.#at]!]!.from, cause);
    }
    for (const frame of frames) {
      frame.from = -1;
      frame.segmentMissing = false;
    }
    if (this.isRestoring) this.recorded.fill(0);
  }

  #failure(lane: number, from: number, cause: unknown): ComputeError | MissingBucketError {
    const row = this.#kernels[lane]?.callRow ?? from;
    if (!(cause instanceof MissingValueError))
      return new ComputeError(this.place(lane, row), cause);
    const { port = "" } = this.plan.lanes[lane]!.guard ?? {};
    const memory = { plan: this.plan, frames: this.frames, columns: this.columns };
    return new MissingBucketError(this.place(lane, row), port, missingCause(memory, lane, row));
  }

  /** A port of the clock that shows NaN never had a value: until then its node is not run. */
  #awaitsFirst(clock: number): boolean {
    const guards = this.#guards[clock]!;
    for (let k = 0; k < guards.length; k++) if (!guards[k]!.hasBegun) return true;
    return false;
  }

  #nanGuards(clock: number): PortGuard[] {
    return this.plan.lanes.flatMap((lane, k) => {
      const kernel = lane.clock === clock ? this.#kernels[k] : undefined;
      return kernel instanceof NanGuard ? [kernel] : [];
    });
  }

  /** Rows a node's kernel has been run on, restores left out. */
  evaluations(node: number): number {
    const { lane, clock, supplied } = this.plan.nodes[node]!;
    return supplied ? 0 : this.frames[clock]!.cleanRows + this.#laneRows[lane]!;
  }

  kernel(lane: number): Kernel | undefined {
    return this.#kernels[lane];
  }

  place(lane: number, i: number): FailurePosition {
    const { node, clock } = this.plan.lanes[lane]!;
    const { id, name } = this.plan.nodes[node]!;
    const frame = this.frames[clock]!;
    return { nodeId: id, nodeName: name, row: frame.base + i, bucketEndMs: frame.endMs.values[i]! };
  }

  /** Local row of port `k`'s own clock that belongs to local row `i` of the lane; −1 = none. */
  mappedRow(lane: number, k: number, i: number): number {
    const map = this.plan.lanes[lane]!.ports[k]!.map;
    return map < 0 ? i : this.#maps[map]![i]!;
  }

  #makeKernel(lane: PlanLane): Kernel | undefined {
    const kernel = lane.create?.();
    const column = (slot: number) => this.columns[slot]!;
    const clockOf = (k: number): number => {
      const { map } = lane.ports[k]!;
      return map < 0 ? lane.clock : this.plan.maps[map]!.coarse;
    };
    const ports: KernelPorts = {
      rowOf: (k) => (lane.ports[k]!.map < 0 ? null : this.#maps[lane.ports[k]!.map]!),
      baseOf: (k) => this.frames[clockOf(k)]!.base,
      showsNan: (k) => lane.ports[k]!.showsNan,
    };
    kernel?.bind(
      lane.ports.map((port) => column(port.slot)),
      lane.slots.map(column),
      ports,
    );
    return kernel;
  }

  #runStages(): void {
    const order = this.#order;
    for (let s = 0; s < order.length; s++) {
      const lane = order[s]!;
      if (lane < 0) {
        this.#runLoop(s);
        continue;
      }
      const { from, to, base, isClean } = this.frames[this.#laneClock[lane]!]!;
      if (from < 0) continue;
      this.#at = lane;
      if (isClean) this.#kernels[lane]!.run(from, to, base);
      else this.#runRows(lane, from, to);
    }
  }

  #runLoop(s: number): void {
    const stage = this.plan.stages[s]!;
    if (stage.kind !== "loop") return;
    const lanes = stage.lanes;
    const { from, to, base, isClean } = this.frames[this.#laneClock[lanes[0]!]!]!;
    if (from < 0) return;
    for (let i = from; i < to; i++) {
      for (let k = 0; k < lanes.length; k++) {
        const lane = lanes[k]!;
        this.#at = lane;
        if (isClean) this.#kernels[lane]!.run(i, i + 1, base);
        else this.#runRows(lane, i, i + 1);
      }
    }
  }

  /** Runs a lane on the rows that are ready, and treats each other row by the node's policy. */
  #runRows(lane: number, from: number, to: number): void {
    const { role, node, clock } = this.plan.lanes[lane]!;
    const kernel = this.#kernels[lane]!;
    const base = this.frames[clock]!.base;
    if (this.isRestoring && role === "node") {
      if (this.recorded[node] === 1) return;
      if (this.#history[node] === 1) {
        this.#clearRows(lane, from, to);
        return;
      }
    }
    if (role === "delay") {
      kernel.run(from, to, base);
      return;
    }
    if (kernel instanceof PortGuard) {
      this.#runGuard(lane, kernel, from, to);
      return;
    }
    let start = from;
    for (let i = from; i < to; i++) {
      const readiness = laneReadiness(this.plan, this.#memory, lane, i);
      if (readiness === READY) continue;
      if (start < i) this.#runReady(lane, start, i);
      start = i + 1;
      if (readiness === COLD) this.#clearRows(lane, i, i + 1);
      else this.#runMissing(lane, i);
    }
    if (start < to) this.#runReady(lane, start, to);
  }

  #runReady(lane: number, from: number, to: number): void {
    if (!this.isRestoring) this.#laneRows[lane]! += to - from;
    this.#kernels[lane]!.run(from, to, this.frames[this.#laneClock[lane]!]!.base);
  }

  /** A guard sees every row, the missing ones included, and says which its node is to see. */
  #runGuard(lane: number, guard: PortGuard, from: number, to: number): void {
    const [port] = this.plan.lanes[lane]!.ports;
    const present = this.presence[this.plan.slots[port!.slot]!.lane]!;
    for (let i = from; i < to; i++) {
      const isPresent = present[i] === 1;
      if (this.isRestoring) guard.copy(i);
      else if (!guard.pass(i, isPresent)) this.#setMissing(lane, i);
    }
  }

  #runMissing(lane: number, i: number): void {
    this.#clearRows(lane, i, i + 1);
    this.#setMissing(lane, i);
  }

  #setMissing(lane: number, i: number): void {
    this.presence[lane]![i] = 0;
    this.frames[this.#laneClock[lane]!]!.hasMissing = true;
  }

  #clearRows(lane: number, from: number, to: number): void {
    for (const slot of this.plan.lanes[lane]!.slots) {
      for (let i = from; i < to; i++) clearRow(this.columns[slot]!, i);
    }
  }
}

/** Lanes of one clock in order, with their kernels. */
interface Straight {
  readonly lanes: readonly number[];
  readonly kernels: readonly Kernel[];
  /** `run` of each kernel, looked up once: a lookup on many classes costs more than a row of most kernels. */
  readonly runs: readonly Kernel["run"][];
}

/**
 * Fills `map` for the open segment of `fine`: the last row of `coarse` whose bucket closed at or before the
 * fine bucket's close (`closed`), or the one that closed with it (`exact`); −1 = none.
 */
function updateClockMap(
  map: Int32Array,
  mode: MapMode,
  fine: ClockFrame,
  coarse: ClockFrame,
): void {
  const fineEnd = fine.endMs.values;
  const coarseEnd = coarse.endMs.values;
  let row = (coarse.from < 0 ? coarse.end : coarse.from) - 1;
  for (let i = fine.from; i < fine.end; i++) {
    const close = fineEnd[i]!;
    while (row + 1 < coarse.end && coarseEnd[row + 1]! <= close) row++;
    const isThere = row >= 0 && row >= coarse.firstLocal;
    map[i] = isThere && (mode === "closed" || coarseEnd[row] === close) ? row : -1;
  }
}

/** Every input has the bucket and every window is full. */
const READY = 0;
/** A window is not full yet. */
const COLD = 1;
/** An input's bucket is missing. */
const MISSING = 2;

/** Whether a lane can run local row `i`: {@link READY}, {@link COLD} or {@link MISSING}, which wins. */
function laneReadiness(plan: Plan, memory: EngineMemory, lane: number, i: number): number {
  const { ports, rowsNeeded, clock } = plan.lanes[lane]!;
  let readiness = READY;
  for (const port of ports) {
    const row = port.map < 0 ? i : memory.maps[port.map]![i]!;
    if (row < 0 || memory.presence[plan.slots[port.slot]!.lane]![row] === 0) return MISSING;
    const frame = memory.frames[port.map < 0 ? clock : plan.maps[port.map]!.coarse]!;
    if (row - frame.firstLocal < rowsNeeded - 1) readiness = COLD;
  }
  return readiness;
}

/** Number of rows after which every window on a clock is full; −1 if a lane on it reads another clock. */
function plainRows(plan: Plan, clock: number): number {
  let rows = 0;
  for (const lane of plan.lanes) {
    if (lane.clock !== clock) continue;
    if (lane.ports.some((port) => port.map >= 0)) return -1;
    rows = Math.max(rows, lane.rowsNeeded - 1);
  }
  return rows;
}

/** Lanes of a clock in order, or `undefined` if there is a loop among them. */
function straightLanes(plan: Plan, clock: number): readonly number[] | undefined {
  const lanes: number[] = [];
  for (const stage of plan.stages) {
    const first = stage.kind === "lane" ? stage.lane : stage.lanes[0]!;
    if (plan.lanes[first]!.clock !== clock) continue;
    if (stage.kind === "loop") return undefined;
    lanes.push(first);
  }
  return lanes;
}
