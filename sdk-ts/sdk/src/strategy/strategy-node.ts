import type { NodeKernel, OnMissing } from "@qmtl/core/dataflow";
import type { NodeParams } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import {
  checkIdentifiers,
  checkName,
  checkRows,
  type IntervalInput,
  parseInterval,
} from "./fields.ts";
import type { OptionKeys } from "./option-keys.ts";
import { type OnMissingOption, PortModes } from "./port-modes.ts";

/** The code that computes a node, as part of the node id. */
export type NodeCode =
  | { readonly kind: "builtin"; readonly name: string; readonly version: number }
  | {
      readonly kind: "function";
      /** The author's function, which is hashed by what it computes. */
      readonly fn: (...args: never[]) => unknown;
      readonly declaredParams: readonly string[];
    };

/** Whether a union has more than one member. */
type SeveralNames<T, All = T> = T extends unknown ? ([All] extends [T] ? false : true) : never;

/** What the compiler says of a node that has several columns, where one is read. */
export interface SeveralColumns {
  /** What to write instead. */
  readonly "has several columns: pick one, as in column(node, name)": never;
}

/**
 * Refuses a node that is known to have several columns, where a node of one is read. A node of which the compiler knows
 * no columns is checked when it is declared.
 */
export type OneColumn<Node extends StrategyNode> =
  Node extends StrategyNode<infer Column>
    ? SeveralNames<Column> extends true
      ? SeveralColumns
      : unknown
    : never;

/** Upstream nodes by port. */
export type NodeInputs = Readonly<Record<string, StrategyNode>>;

/** {@link OneColumn} of each input. */
export type OneColumnInputs<Inputs extends NodeInputs> = {
  readonly [Port in keyof Inputs]: OneColumn<Inputs[Port]>;
};

/** A node of the one column `value`, as `column`, the indicators and `derive` make them. */
export type Series = StrategyNode<"value">;

/** One declared input. */
export interface DeclaredInput {
  readonly port: string;
  readonly node: StrategyNode;
}

/** Options that every node takes. `Port` is the union of the names of its inputs. */
export interface NodeOptions<Port extends string = string> {
  /**
   * Name for messages and reports, 1..200 characters; not part of the node id. @default one derived from its content
   */
  readonly name?: string | undefined;
  /** Length of its buckets. @default the shortest interval of its inputs, otherwise the strategy's `defaultInterval` */
  readonly interval?: IntervalInput | undefined;
  /**
   * What it does at a bucket where an input has no value, for all inputs or by port. An input has no value where its row
   * is missing or NaN, or any row of its window is. Before the first value of an input it is always `skip`.
   *
   * `skip`: it is not called, and has no value there. `nan`: it is called, and NaN is shown. `carry`: the last value
   * stands in, however old, or `{ carry: n }` at most n rows old, then `skip`. `fail`: the run ends with
   * `MISSING_BUCKET`, naming node, port, row, time and source. @default "skip"
   */
  readonly onMissing?: OnMissingOption<Port> | undefined;
}

/** Keys of {@link NodeOptions}, for the lists of the nodes. */
export const nodeOptionKeys: OptionKeys<NodeOptions> = {
  name: true,
  interval: true,
  onMissing: true,
};

/** Options of a node that reads windows. */
export interface WindowOptions<Port extends string = string> extends NodeOptions<Port> {
  /** Rows in each of its windows, 1..10000. @default the strategy's `defaultPeriod`, otherwise 1 */
  readonly period?: number | undefined;
}

/** Keys of {@link WindowOptions}. */
export const windowOptionKeys: OptionKeys<WindowOptions> = { ...nodeOptionKeys, period: true };

/**
 * A node as the author declares it. Nodes are values: they hold no data and may be shared between strategies. `Column`
 * is the union of the names of its outputs, as far as the compiler knows them.
 */
export abstract class StrategyNode<Column extends string = string> {
  /** Kind of node, part of its id. */
  abstract readonly nodeType: string;
  /** Names of its outputs, in order. */
  abstract readonly outputs: readonly Column[];
  /** The code that computes it, part of its id. */
  abstract readonly code: NodeCode;
  /** Its params, part of its id; frozen. */
  abstract readonly params: NodeParams;
  /** Its inputs, in port order. */
  readonly inputs: readonly DeclaredInput[];
  /** What it does where an input has no value. */
  readonly onMissing: PortModes;
  /** The author's name for it, if one was given. */
  readonly givenName: string | undefined;
  /** Seconds, if the author gave an interval. */
  readonly givenInterval: number | undefined;
  /** Rows, if the author gave a period. */
  readonly givenPeriod: number | undefined;

  /** @param inputs its inputs; undefined for a query, whose ports are known only once it runs */
  protected constructor(
    kind: string,
    options: WindowOptions,
    inputs: readonly DeclaredInput[] | undefined,
  ) {
    const { name, interval, period, onMissing } = options;
    this.givenName = name === undefined ? undefined : checkName(`${kind}.name`, name);
    const where = name === undefined ? kind : `${kind} "${name}"`;
    this.givenInterval =
      interval === undefined ? undefined : parseInterval(`${where}.interval`, interval);
    this.givenPeriod = period === undefined ? undefined : checkRows(`${where}.period`, period);
    this.inputs = checkInputs(where, inputs ?? []);
    const ports = inputs?.map(({ port }) => port);
    this.onMissing = PortModes.check(`${where}.onMissing`, onMissing, ports);
  }

  /**
   * Version of what its options mean, part of its id from 2 on. A node that says what it does where an input has no
   * value means NaN as well as a missing row since version 2.
   */
  get semanticsVersion(): number {
    return this.onMissing.param === undefined ? 1 : 2;
  }

  /** Rows in each of its windows, where the author has no say in it. */
  get fixedPeriod(): number | undefined {
    return undefined;
  }

  /**
   * Name used if none is given.
   *
   * @param nameOf name of each of its inputs
   */
  abstract defaultName(nameOf: (node: StrategyNode) => string): string;

  /**
   * Makes what runs the node.
   *
   * @param period rows in each of its windows
   * @returns its kernel; `undefined` for a source, whose rows are supplied
   */
  abstract kernel(period: number): NodeKernel | undefined;

  /**
   * How the node is run where an input has no value.
   *
   * @param port port of the input
   */
  modeOf(port: string): OnMissing {
    return this.onMissing.of(port);
  }

  /**
   * Which output of an input's node is read.
   *
   * @param _k index of the input
   * @returns index of the output of that node
   */
  inputOutput(_k: number): number {
    return 0;
  }
}

/** Checks that ports are identifiers and inputs are nodes; freezes the list. */
function checkInputs(where: string, inputs: readonly DeclaredInput[]): readonly DeclaredInput[] {
  if (inputs.length === 0) return [];
  checkIdentifiers(
    `${where}.inputs`,
    inputs.map((input) => input.port),
  );
  for (const { port, node } of inputs) {
    if (!(node instanceof StrategyNode)) throw invalid(`${where}.inputs.${port}`, "is not a node");
  }
  Object.freeze(inputs); // a node can read only nodes that were made before it, so no graph has a cycle
  return inputs;
}

/** Refuses inputs with several outputs; all nodes but `column` read exactly one. */
export function checkSingleColumn(where: string, inputs: readonly DeclaredInput[]): void {
  for (const { port, node } of inputs) {
    if (node.outputs.length === 1) continue;
    const columns = node.outputs.join(", ");
    throw invalid(
      `${where}.inputs.${port}`,
      `has ${node.outputs.length} columns (${columns}); pick one, as in column(node, "${node.outputs[0]}")`,
    );
  }
}
