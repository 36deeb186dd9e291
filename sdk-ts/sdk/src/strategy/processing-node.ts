import type { Window } from "@qmtl/core/cache";
import type { NodeKernel } from "@qmtl/core/dataflow";
import type { NodeParams, OutputRecord, Windows } from "@qmtl/core/nodes";
import { authorKernel, checkResult, outputsKernel } from "./author-function.ts";
import { invalid } from "./declaration-error.ts";
import { checkIdentifiers } from "./fields.ts";
import { FunctionNode } from "./function-node.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { type StrategyNode, type WindowOptions, windowOptionKeys } from "./strategy-node.ts";

/** Declaration of a {@link ProcessingNode}. */
export interface ProcessingNodeOptions<
  Port extends string,
  Params extends NodeParams = NodeParams,
  Output extends string = "value",
> extends WindowOptions<Port> {
  /** Upstream nodes by port, at least one. The order in which they are written is part of the node id. */
  readonly inputs: Readonly<Record<Port, StrategyNode>>;
  /** Values on which the function may depend; plain JSON, part of the node id. @default {} */
  readonly params?: Params | undefined;
  /**
   * Names of several outputs, in order; part of the node id. The function then writes its values to `out` and returns
   * nothing, and readers pick one with `column`. @default one output, `value`, which the function returns
   */
  readonly outputs?: readonly Output[] | undefined;
  /**
   * Pure function of the windows and params; `null` or NaN = no value. Called once per bucket, when every window has
   * `period` rows and, unless `onMissing` says otherwise, none of them is without a value. The windows are reused: copy
   * what must be kept. With `outputs` it writes `out`: one object for all calls with a field for each output, all of
   * them NaN before a call, so that what it leaves has no value.
   */
  readonly compute: (
    windows: Windows<Port>,
    params: Params,
    out: Record<Output, number>,
  ) => [Output] extends ["value"] ? number | null : void;
}

const optionKeys: OptionKeys<ProcessingNodeOptions<string>> = {
  ...windowOptionKeys,
  inputs: true,
  params: true,
  outputs: true,
  compute: true,
};

/**
 * A node that the author's own function computes. `Port` is the union of the names of its inputs, `Params` the type of
 * the values that its function gets in addition to them, `Output` the union of the names of its outputs.
 */
export class ProcessingNode<
  Port extends string = string,
  Params extends NodeParams = NodeParams,
  const Output extends string = "value",
> extends FunctionNode<Output> {
  readonly nodeType = "ProcessingNode";
  readonly outputs: readonly Output[];
  readonly params: NodeParams;
  protected readonly plainName = "processing";
  readonly #compute: (windows: Windows<Port>, params: never, out: never) => unknown;
  readonly #writes: boolean;

  /**
   * @param options inputs, function and its params
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: ProcessingNodeOptions<Port, Params, Output>) {
    checkOptions<ProcessingNodeOptions<Port, Params, Output>>(
      "ProcessingNode",
      options,
      optionKeys,
    );
    const fn = options.compute;
    const { outputs } = options;
    const takes = ["windows", "params", ...(outputs === undefined ? [] : ["out"])];
    super({ kind: "ProcessingNode", options, field: "compute", fn, takes });
    this.outputs = outputs === undefined ? (["value"] as const as never) : checkOutputs(outputs);
    this.params = this.functionParams;
    this.#compute = fn;
    this.#writes = outputs !== undefined;
  }

  override get semanticsVersion(): number {
    return 2; // not called while a window holds no value
  }

  kernel(period: number): NodeKernel {
    const compute = this.#compute;
    const params = this.params as never; // a copy of the author's params, and so of the type that the function takes
    const ports = this.inputs.map((input) => input.port);
    const windowsOf = (list: readonly Window[]): Windows<Port> =>
      Object.freeze(Object.fromEntries(ports.map((port, k) => [port, list[k]!]))) as Windows<Port>;
    if (this.#writes) {
      return outputsKernel(period, this.outputs, (list, out: OutputRecord) => {
        const windows = windowsOf(list);
        return () => compute(windows, params, out as never);
      });
    }
    const none = undefined as never;
    return authorKernel(period, (list) => {
      const windows = windowsOf(list);
      return () => checkResult(compute(windows, params, none));
    });
  }
}

function checkOutputs<Output extends string>(outputs: readonly Output[]): readonly Output[] {
  const field = "ProcessingNode.outputs";
  const names = checkIdentifiers(field, outputs);
  if (names.length > 1 || names[0] !== "value") return names;
  throw invalid(
    field,
    "are for names of one's own: without them there is one, value, to be returned",
  );
}
