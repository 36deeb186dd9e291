import type { Kernel, OutputKind } from "../nodes/kernel.ts";
import type { ClockSpec } from "./schedule.ts";

/**
 * What a node does at a bucket where a port has no value: the row is missing, is NaN, or (for a window) any of its rows
 * is. Before the first value of a port it is always `skip`.
 *
 * `skip`: not run; the node has no value there. `nan`: run, and NaN is shown. `carry`: the last value stands in, however
 * old, or `{ carry: n }` at most n rows old, then `skip`. `fail`: the run ends with `MISSING_BUCKET`.
 */
export type OnMissing = "skip" | "nan" | "carry" | "fail" | { readonly carry: number };

/** One input of a node. */
export interface GraphInput {
  readonly port: string;
  /** Id of the upstream node. */
  readonly node: string;
  /** Position of the upstream's output. */
  readonly output: number;
  /**
   * Reads the upstream's previous row: the only way to feed back. With `nan` it shows NaN from the first row on, since
   * no loop could begin otherwise. @default false
   */
  readonly delayed?: boolean;
  /** Inputs of numbers only. @default "skip" */
  readonly onMissing?: OnMissing | undefined;
}

/** How a computed node is run; parameters are already bound. */
export interface NodeKernel {
  /** Rows before the current one that are read from each input. */
  readonly lookback: number;
  readonly warmup: number;
  /**
   * `true`: the kernel reads inputs of other clocks itself, through the clock maps, and is run only on rows whose
   * windows are full. `false`: such inputs are aligned to the node's own rows first. An input of another clock and the
   * same interval is aligned for `nan` and `carry` as well: what stands in is a row of the node.
   */
  readonly readsWindows: boolean;
  create(): Kernel;
}

/** A node of the runtime graph. */
export interface GraphNode {
  readonly id: string;
  /** For messages; need not be unique. */
  readonly name: string;
  readonly intervalMs: number;
  readonly outputs: readonly OutputKind[];
  /** Sources: the clock their rows come on. Computed nodes take the clock of their first input of equal interval. */
  readonly clock?: ClockSpec;
  /** Sources have none. */
  readonly kernel?: NodeKernel;
  readonly inputs: readonly GraphInput[];
}

/** Nodes in any order. */
export interface RuntimeGraph {
  readonly nodes: readonly GraphNode[];
}
