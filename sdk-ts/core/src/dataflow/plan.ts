import type { Kernel, OutputKind } from "../nodes/kernel.ts";
import type { ClockSpec } from "./schedule.ts";

/** Rows a batch run computes at a time, and room for new rows in a sliding column. */
export const CHUNK_ROWS = 2048;

/** A clock of a compiled plan. */
interface PlanClock {
  readonly spec: ClockSpec;
  /** Rows kept before the current chunk: the largest any reader on this clock needs. */
  readonly lookback: number;
}

/** A column of a compiled plan. `lane` is what writes it and holds its presence flags. */
export interface PlanSlot {
  readonly kind: OutputKind;
  readonly lane: number;
}

/** How an input of another clock is matched: `exact` = same bucket end, `closed` = last one closed by then. */
export type MapMode = "exact" | "closed";

/** A pair of clocks: rows of `fine` to rows of `coarse`. */
export interface PlanMap {
  readonly fine: number;
  readonly coarse: number;
  readonly mode: MapMode;
}

/** One input as a lane reads it. */
export interface PlanPort {
  readonly slot: number;
  /** Index into the plan's maps, or −1 on the lane's own clock. */
  readonly map: number;
  /** The lane is run although the port has no value. */
  readonly showsNan: boolean;
}

/** What a guard lane does for its node's port. */
export interface PlanGuard {
  /** Port of the node, for messages. */
  readonly port: string;
  /** Rows of its column that cannot be computed again, and so are part of the node's state. */
  readonly tailRows: number;
}

/**
 * What runs and writes columns. Most lanes are nodes; the compiler adds lanes that align an input to another clock,
 * delay it by a row, or guard a port whose `onMissing` is not `skip`.
 */
export interface PlanLane {
  /** Index of the node it belongs to (an added lane: of the node it serves). */
  readonly node: number;
  readonly role: "node" | "align" | "delay" | "guard";
  readonly clock: number;
  readonly slots: readonly number[];
  readonly ports: readonly PlanPort[];
  /** Rows each port must have, current one included, before the lane runs. */
  readonly rowsNeeded: number;
  /** Guards only. */
  readonly guard?: PlanGuard;
  /** Absent for supplied nodes. */
  readonly create?: () => Kernel;
}

/** A node of a compiled plan. */
export interface PlanNode {
  readonly id: string;
  readonly name: string;
  readonly clock: number;
  readonly supplied: boolean;
  /** A source of the graph: no node computes it. */
  readonly isSource: boolean;
  /** Lane that writes its outputs. */
  readonly lane: number;
  /** Added lanes that serve it, in order; part of its state. */
  readonly served: readonly number[];
  readonly slots: readonly number[];
  readonly lookback: number;
  readonly warmup: number;
}

/** Lanes in topological order; the lanes of a loop run row by row. */
export type PlanStage =
  | { readonly kind: "lane"; readonly lane: number }
  | { readonly kind: "loop"; readonly lanes: readonly number[] };

/** A graph compiled to integer slots. Immutable: any number of executors may run it. */
export interface Plan {
  readonly clocks: readonly PlanClock[];
  readonly maps: readonly PlanMap[];
  readonly slots: readonly PlanSlot[];
  readonly lanes: readonly PlanLane[];
  readonly nodes: readonly PlanNode[];
  readonly stages: readonly PlanStage[];
  readonly nodeIndex: ReadonlyMap<string, number>;
  /** Rows to run again, on every clock, so that every window is filled before a restore continues. */
  readonly restoreRows: number;
  /** Nodes whose recorded rows a restore needs, because they cannot be computed from the rows before. */
  readonly historyNodes: readonly string[];
}
