import type { Kernel, OutputKind } from "../nodes/kernel.ts";
import type { ClockSpec } from "./schedule.ts";

/** What a node does when an input's bucket is missing: publish a missing bucket, fail, or use the last value. */
export type OnMissing = "skip" | "fail" | "carry";

/** One input of a node. */
export interface GraphInput {
  readonly port: string;
  /** Id of the upstream node. */
  readonly node: string;
  /** Position of the upstream's output. */
  readonly output: number;
  /** Reads the upstream's previous row: the only way to feed back. @default false */
  readonly delayed?: boolean;
}

/** How a computed node is run; parameters are already bound. */
export interface NodeKernel {
  /** Rows before the current one that are read from each input. */
  readonly lookback: number;
  readonly warmup: number;
  /**
   * `true`: the kernel reads inputs of other clocks itself, through the clock maps, and is run only on rows whose
   * windows are full. `false`: such inputs are aligned to the node's own rows first.
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
  /** @default "skip" */
  readonly onMissing?: OnMissing;
}

/** Nodes in any order. */
export interface RuntimeGraph {
  readonly nodes: readonly GraphNode[];
}
