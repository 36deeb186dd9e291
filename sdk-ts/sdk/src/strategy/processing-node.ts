import type { Window } from "@qmtl/core/cache";
import type { NodeKernel } from "@qmtl/core/dataflow";
import type { NodeParams, Windows } from "@qmtl/core/nodes";
import { authorKernel, checkResult } from "./author-function.ts";
import { FunctionNode } from "./function-node.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { type StrategyNode, type WindowOptions, windowOptionKeys } from "./strategy-node.ts";

/** Declaration of a {@link ProcessingNode}. */
export interface ProcessingNodeOptions<Port extends string, Params extends NodeParams = NodeParams>
  extends WindowOptions<Port> {
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
  ...windowOptionKeys,
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
> extends FunctionNode<"value"> {
  readonly nodeType = "ProcessingNode";
  readonly outputs = ["value"] as const;
  readonly params: NodeParams;
  protected readonly plainName = "processing";
  readonly #compute: (windows: Windows<Port>, params: never) => number | null;

  /**
   * @param options inputs, function and its params
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: ProcessingNodeOptions<Port, Params>) {
    checkOptions<ProcessingNodeOptions<Port, Params>>("ProcessingNode", options, optionKeys);
    const fn = options.compute;
    const takes = ["windows", "params"];
    super({ kind: "ProcessingNode", options, field: "compute", fn, takes });
    this.params = this.functionParams;
    this.#compute = fn;
  }

  override get semanticsVersion(): number {
    return 2; // not called while a window holds no value
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
