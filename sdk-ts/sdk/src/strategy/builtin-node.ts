import type { NodeKernel } from "@qmtl/core/dataflow";
import type { CatalogueEntry, NodeParams } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import {
  checkSingleColumn,
  type NodeCode,
  type NodeOptions,
  StrategyNode,
} from "./strategy-node.ts";

/** Options that every built-in node takes in addition to its own arguments. */
export type BuiltinOptions = Omit<NodeOptions, "interval">;

/** Keys of {@link BuiltinOptions}, for the lists of the targets. */
export const builtinOptionKeys: OptionKeys<BuiltinOptions> = { name: true, onMissing: true };

/** A node of the catalogue with its parameters. Functions such as `sma` create one. */
export class BuiltinNode<P = unknown, Column extends string = string> extends StrategyNode<Column> {
  readonly nodeType: string;
  readonly outputs: readonly Column[];
  readonly params: NodeParams;
  readonly code: NodeCode;
  readonly #entry: CatalogueEntry<P, Column>;
  readonly #kernelParams: P;

  /**
   * @param entry entry of the catalogue that computes it
   * @param nodes inputs, in the order of the entry's ports
   * @param kernelParams parameters with which its kernel is made
   * @param params those of its parameters that are part of its node id
   * @param options name of the node, and what it does if an input bucket is missing
   * @throws {DeclarationError} naming the field.
   */
  constructor(
    entry: CatalogueEntry<P, Column>,
    nodes: readonly StrategyNode[],
    kernelParams: P,
    params: NodeParams,
    options: BuiltinOptions = {},
  ) {
    const { name } = entry.spec;
    checkOptions(name, options, builtinOptionKeys);
    super(
      name,
      options,
      nodes.map((node, k) => ({ port: entry.ports[k] ?? `input${k}`, node })),
    );
    if (nodes.length !== entry.ports.length) {
      throw invalid(`${name}.inputs`, `${entry.ports.length} inputs are expected`);
    }
    if (name !== "column") checkSingleColumn(name, this.inputs);
    this.nodeType = name;
    this.outputs = entry.outputs;
    this.params = Object.freeze(params);
    this.code = { kind: "builtin", name, version: entry.version };
    this.#entry = entry;
    this.#kernelParams = kernelParams;
  }

  /** Smallest number of input rows that it depends on. */
  override get fixedPeriod(): number {
    return this.#entry.spec.lookback(this.#kernelParams) + 1;
  }

  defaultName(nameOf: (node: StrategyNode) => string): string {
    const parts = [
      ...this.inputs.map((input) => nameOf(input.node)),
      ...Object.values(this.params),
    ];
    return `${this.nodeType}(${parts.map(String).join(",")})`;
  }

  kernel(): NodeKernel {
    const { spec } = this.#entry;
    const params = this.#kernelParams;
    return {
      lookback: spec.lookback(params),
      warmup: spec.warmup(params),
      readsWindows: false,
      create: () => spec.create(params),
    };
  }

  override inputOutput(k: number): number {
    if (this.nodeType !== "column") return 0;
    return this.inputs[k]!.node.outputs.indexOf(String(this.params.column));
  }
}
