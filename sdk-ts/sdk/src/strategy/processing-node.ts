import type { Window } from "@qmtl/core/cache";
import type { NodeKernel } from "@qmtl/core/dataflow";
import type { NodeParams, Windows } from "@qmtl/core/nodes";
import { authorKernel, checkCompute, checkResult } from "./author-function.ts";
import { invalid } from "./declaration-error.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { checkParams } from "./params.ts";
import {
  checkSingleColumn,
  type NodeCode,
  type NodeOptions,
  nodeOptionKeys,
  StrategyNode,
} from "./strategy-node.ts";

/** Declaration of a {@link ProcessingNode}. */
export interface ProcessingNodeOptions<Port extends string, Params extends NodeParams = NodeParams>
  extends NodeOptions<Port> {
  /** Upstream nodes by port, at least one. The order in which they are written is part of the node id. */
  readonly inputs: Readonly<Record<Port, StrategyNode>>;
  /** Values on which the function may depend; plain JSON, part of the node id. @default {} */
  readonly params?: Params | undefined;
  /**
   * Pure function of the windows and params; `null` or NaN = no value. Called once per bucket, when every window has
   * `period` rows and, unless `onMissing` says otherwise, none of them is without a value. The windows are reused: copy
   * what must be kept.
   */
  readonly compute: (windows: Windows<Port>, params: Params) => number | null;
}

const optionKeys: OptionKeys<ProcessingNodeOptions<string>> = {
  ...nodeOptionKeys,
  inputs: true,
  params: true,
  compute: true,
};

/**
 * A node that the author's own function computes. `Port` is the union of the names of its inputs, `Params` the type of
 * the values that its function gets in addition to them. Its one output is `value`.
 */
export class ProcessingNode<
  Port extends string = string,
  Params extends NodeParams = NodeParams,
> extends StrategyNode {
  readonly nodeType = "ProcessingNode";
  readonly outputs = ["value"] as const;
  readonly params: NodeParams;
  readonly code: NodeCode;
  readonly #compute: (windows: Windows<Port>, params: never) => number | null;

  /**
   * @param options inputs, function and its params
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: ProcessingNodeOptions<Port, Params>) {
    checkOptions<ProcessingNodeOptions<Port, Params>>("ProcessingNode", options, optionKeys);
    const entries = Object.entries<StrategyNode>(options.inputs ?? {});
    const where = `ProcessingNode${options.name === undefined ? "" : ` "${options.name}"`}`;
    super(
      "ProcessingNode",
      options,
      entries.map(([port, node]) => ({ port, node })),
    );
    if (this.inputs.length === 0) throw invalid(`${where}.inputs`, "needs at least one upstream");
    checkSingleColumn(where, this.inputs);
    checkCompute(`${where}.compute`, options.compute);
    this.params = checkParams(`${where}.params`, options.params ?? {});
    this.#compute = options.compute;
    const declaredParams = Object.keys(this.params);
    this.code = { kind: "function", fn: options.compute, declaredParams };
  }

  override get semanticsVersion(): number {
    return 2; // not called while a window holds no value
  }

  defaultName(nameOf: (node: StrategyNode) => string): string {
    const name = this.#compute.name === "compute" ? "processing" : this.#compute.name;
    return `${name || "processing"}(${this.inputs.map((input) => nameOf(input.node)).join(",")})`;
  }

  kernel(period: number): NodeKernel {
    const compute = this.#compute;
    const params = this.params as never; // a copy of the author's params, and so of the type that the function takes
    const ports = this.inputs.map((input) => input.port);
    return authorKernel(ports.length, period, (list) => {
      const windows: Windows<Port> = Object.freeze(
        Object.fromEntries(ports.map((port, k) => [port, list[k]!])),
      ) as Record<Port, Window>;
      return () => checkResult(compute(windows, params));
    });
  }
}
