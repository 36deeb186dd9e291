import type { NodeKernel } from "@qmtl/core/dataflow";
import { type NodeParams, userDerive } from "@qmtl/core/nodes";
import { checkResult } from "./author-function.ts";
import { FunctionNode } from "./function-node.ts";
import { checkOptions } from "./option-keys.ts";
import {
  type NodeInputs,
  type NodeOptions,
  nodeOptionKeys,
  type OneColumnInputs,
  type Series,
} from "./strategy-node.ts";

/** The newest value of each input by port. */
export type InputValues<Inputs> = { readonly [Port in keyof Inputs]: number };

/** A function of the newest values of its inputs. */
class DeriveNode extends FunctionNode<"value"> {
  readonly nodeType = "derive";
  readonly outputs = ["value"] as const;
  readonly params: NodeParams;
  protected readonly plainName = "derive";
  readonly #compute: (x: never, params: never) => number | null;

  constructor(
    inputs: NodeInputs,
    compute: (x: never, params: never) => number | null,
    params: NodeParams | undefined,
    options: NodeOptions,
  ) {
    checkOptions("derive", options, nodeOptionKeys);
    super({
      kind: "derive",
      options: { ...options, inputs, params },
      field: "compute",
      fn: compute,
      takes: ["x", "params"],
    });
    this.params = this.functionParams;
    this.#compute = compute;
  }

  override get fixedPeriod(): number {
    return 1;
  }

  override get semanticsVersion(): number {
    return 2; // not called where an input has no value
  }

  kernel(): NodeKernel {
    const compute = this.#compute;
    const ports = this.inputs.map((input) => input.port);
    const given = this.functionParams as never; // copies of what the author's function takes
    const params = {
      ports,
      makeCall: (values: object) => {
        const x = values as never;
        return () => checkResult(compute(x, given));
      },
    };
    return {
      lookback: userDerive.lookback(params),
      warmup: userDerive.warmup(params),
      readsWindows: true,
      create: () => userDerive.create(params),
    };
  }
}

/**
 * A function of the newest values of its inputs, for example
 * `derive({ fast: sma(close, 10), slow: sma(close, 50) }, (x) => (x.fast > x.slow ? 1 : -1))`. Of an input with a longer
 * interval the newest value is that of its last closed bar.
 *
 * @param inputs upstream nodes of one column by port, at least one. The order in which they are written is part of the
 * node id
 * @param compute pure function of the values by port and of the params; `null` or NaN = no value. It is called once per
 * bucket at which every input has a value, or as `onMissing` says. `x` is one object, used again for every call
 * @param params values on which the function may depend; plain JSON, part of the node id. @default {}
 * @param options name, interval, and what it does where an input has no value. @default {}
 * @returns a node of one column in the unit of what the function returns
 * @throws {DeclarationError} naming the field.
 */
export function derive<
  const Inputs extends NodeInputs,
  Params extends NodeParams = Record<never, never>,
>(
  inputs: Inputs & OneColumnInputs<Inputs>,
  compute: (x: InputValues<Inputs>, params: Params) => number | null,
  params?: Params,
  options: NodeOptions<keyof Inputs & string> = {},
): Series {
  return new DeriveNode(inputs, compute, params, options);
}
