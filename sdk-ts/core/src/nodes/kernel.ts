/** Index of a column, fixed when the graph is compiled. */
export type Slot = number;

/** Storage of one node output: numbers (NaN = no value) or objects (`undefined` = no value). */
export type Column = Float64Array | unknown[];

/** What one output of a node holds. */
export type OutputKind = "f64" | "ref";

/** State of a kernel as numbers, in a fixed order the kernel defines. Empty for a kernel without state. */
export type KernelState = Float64Array;

/** How the rows of a node's inputs relate to the node's own rows, and what the node is shown of them. */
export interface KernelPorts {
  /**
   * Map from the node's local row to the local row of the input at position `input`; −1 = none.
   * `null` if the input lies on the node's own clock. Only the rows being run are valid.
   */
  rowOf(input: Slot): Int32Array | null;
  /** Absolute row of local row 0 of the input's clock, while rows are run. */
  baseOf(input: Slot): number;
  /** The node is run although the input has no value: its mode is `nan`. */
  showsNan(input: Slot): boolean;
}

/**
 * One compiled node.
 *
 * Rules that keep batch and step equal bit for bit (I1 in docs/internals/engine.md): state lives in fields and is
 * hoisted to locals in `run`; anything periodic takes its phase from the absolute row `base + i`; state never holds a
 * local index. Rows may be left out between two calls (missing buckets): their values in the columns are NaN.
 */
export interface Kernel {
  /** Called once; the arrays never change afterwards. */
  bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void;
  /** Computes rows `[from, to)`. Reads inputs in `[from - lookback, to)`. `base + i` is the absolute row. */
  run(from: number, to: number, base: number): void;
  /** State after the last row run, consumed input only. */
  save(): KernelState;
  /** Restores a state written by {@link save}; the lookback rows of the inputs must be in the columns. */
  load(state: KernelState): void;
  /** Local row at which it failed, for error messages. Only kernels that can fail on a row have it. */
  readonly callRow?: number;
}

/** Definition of a kind of node: one per file, entered in `catalogue.ts`. */
export interface KernelSpec<P> {
  readonly name: string;
  /** Kinds of its outputs in order; three bands are `["f64", "f64", "f64"]`. */
  readonly outputs: readonly OutputKind[];
  /** Rows before `from` that `run` may read from its inputs. */
  lookback(params: P): number;
  /** Rows until the output is valid; for recursive nodes, until the effect of the start is below 1e-9. */
  warmup(params: P): number;
  create(params: P): Kernel;
}

const NO_STATE = new Float64Array(0);

/** Base of kernels whose output depends on the input window alone. */
export abstract class StatelessKernel implements Kernel {
  abstract bind(inputs: readonly Column[], outputs: readonly Column[], ports: KernelPorts): void;
  abstract run(from: number, to: number, base: number): void;

  save(): KernelState {
    return NO_STATE;
  }

  load(_state: KernelState): void {}
}

/** Reads a column as numbers. @throws {TypeError} when the column holds objects, which is a compile bug. */
export function numbers(columns: readonly Column[], index: number): Float64Array {
  const column = columns[index];
  if (column instanceof Float64Array) return column;
  throw new TypeError(`column ${index} holds no numbers`);
}
