import type { NodeKernel } from "@qmtl/core/dataflow";
import { type FoldState, type NodeParams, userFold } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";
import type { InputValues } from "./derive.ts";
import { checkIdentifiers } from "./fields.ts";
import { checkInitial, initialParam } from "./fold-initial.ts";
import { FunctionNode } from "./function-node.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { checkParams } from "./params.ts";
import {
  type NodeInputs,
  type NodeOptions,
  nodeOptionKeys,
  type OneColumnInputs,
} from "./strategy-node.ts";

/** A state as a step sees it: the fields of `initial`, each of its type. */
export type FoldStateOf<State extends FoldState> = {
  [Field in keyof State]: State[Field] extends boolean
    ? boolean
    : State[Field] extends number
      ? number
      : Float64Array;
};

/** Names of the fields of a state that are numbers. */
export type NumberFields<State extends FoldState> = {
  [Field in keyof State]: State[Field] extends number ? Field : never;
}[keyof State];

/** Declaration of a {@link FoldNode}. */
export interface FoldNodeOptions<
  Inputs extends NodeInputs,
  State extends FoldState,
  Params extends NodeParams = NodeParams,
  Output extends string = "value",
> extends NodeOptions<keyof Inputs & string> {
  /** Upstream nodes by port, at least one. The order in which they are written is part of the node id. */
  readonly inputs: Inputs & OneColumnInputs<Inputs>;
  /**
   * State before the first row: 1 to 64 fields, each a number, a boolean or a `Float64Array`, with at most 8,192 numbers
   * in all. Names and types of the fields, and lengths of arrays, never change. Part of the node id.
   */
  readonly initial: State;
  /** Values on which the function may depend; plain JSON, part of the node id. @default {} */
  readonly params?: Params | undefined;
  /**
   * Rows after which the state no longer depends on earlier rows, to a billionth of the largest output, 1..1000000;
   * `qmtl check` measures it. `"all"`: it always does. Part of the node id. @default "all"
   */
  readonly memory?: number | "all" | undefined;
  /**
   * Fields of the state, each a number, that are the outputs after each step; part of the node id. Readers pick one with
   * `column`. @default one output, `value`, which `step` returns
   */
  readonly outputs?: readonly (Output & NumberFields<State>)[] | undefined;
  /**
   * Takes one row into the state, in place, and returns the value of the node, `null` or NaN = no value; with `outputs`
   * it returns nothing. It must depend on what it is given alone. Called once per bucket, in order, where every input
   * has a value or as `onMissing` says; the state stays as it is elsewhere. `x` has the newest value of each input, and
   * is one object for all calls.
   */
  readonly step: (
    state: FoldStateOf<State>,
    x: InputValues<Inputs>,
    params: Params,
  ) => number | null | undefined;
}

const optionKeys: OptionKeys<FoldNodeOptions<NodeInputs, FoldState>> = {
  ...nodeOptionKeys,
  inputs: true,
  initial: true,
  params: true,
  memory: true,
  outputs: true,
  step: true,
};

const MEMORY_MAX = 1_000_000;

/**
 * A function with a state of its own between buckets, for what a window of rows cannot hold: an average of all there
 * was, a filter, the side of a trade. It begins at the first row that there is of its inputs, offline at that of the
 * file; a run in a world that takes it over goes on from a snapshot of its state, to the same bits.
 */
export class FoldNode<
  const Inputs extends NodeInputs = NodeInputs,
  State extends FoldState = FoldState,
  Params extends NodeParams = NodeParams,
  const Output extends string = "value",
> extends FunctionNode<Output> {
  readonly nodeType = "FoldNode";
  readonly outputs: readonly Output[];
  readonly params: NodeParams;
  /** Rows after which the state no longer depends on earlier rows; `"all"`: it always does. */
  readonly memory: number | "all";
  protected readonly plainName = "fold";
  readonly #initial: FoldState;
  readonly #fields: readonly string[];
  readonly #step: (state: never, x: never, params: never) => unknown;

  /**
   * @param options inputs, state and step
   * @throws {DeclarationError} naming the field; `STATE_TOO_LARGE` for a state beyond the limits.
   */
  constructor(options: FoldNodeOptions<Inputs, State, Params, Output>) {
    checkOptions<FoldNodeOptions<Inputs, State, Params, Output>>("FoldNode", options, optionKeys);
    const { initial, memory = "all", outputs, step } = options;
    super({ kind: "FoldNode", options, field: "step", fn: step, takes: ["state", "x", "params"] });
    const where = options.name === undefined ? "FoldNode" : `FoldNode "${options.name}"`;
    this.#initial = checkInitial(`${where}.initial`, initial);
    this.#fields = outputs === undefined ? [] : checkOutputs(where, outputs, this.#initial);
    this.outputs = outputs ?? (["value"] as const as never);
    this.memory = checkMemory(`${where}.memory`, memory);
    this.#step = step;
    this.params = Object.freeze({
      params: this.functionParams,
      initial: checkParams(`${where}.initial`, initialParam(`${where}.initial`, this.#initial)),
      memory: this.memory,
      ...(outputs === undefined ? {} : { outputs: Object.freeze([...this.#fields]) }),
    });
  }

  override get fixedPeriod(): number {
    return 1;
  }

  override get semanticsVersion(): number {
    return 1; // it never had another meaning
  }

  kernel(): NodeKernel {
    const step = this.#step;
    const given = this.functionParams as never; // copies of what the author's function takes
    const params = {
      ports: this.inputs.map((input) => input.port),
      initial: this.#initial,
      outputs: this.#fields,
      warmup: this.memory === "all" ? 1 : this.memory,
      makeCall: (state: FoldState, values: object) => {
        const [own, x] = [state as never, values as never];
        return () => step(own, x, given);
      },
    };
    return {
      lookback: userFold.lookback(params),
      warmup: userFold.warmup(params),
      readsWindows: true,
      create: () => userFold.create(params),
    };
  }
}

function checkMemory(field: string, memory: number | "all"): number | "all" {
  if (memory === "all") return memory;
  if (Number.isInteger(memory) && memory >= 1 && memory <= MEMORY_MAX) return memory;
  throw invalid(field, `must be "all" or an integer in 1..${MEMORY_MAX}, not ${String(memory)}`);
}

function checkOutputs(
  where: string,
  outputs: readonly string[],
  initial: FoldState,
): readonly string[] {
  const names = checkIdentifiers(`${where}.outputs`, outputs);
  for (const name of names) {
    if (typeof initial[name] === "number") continue;
    const fields = Object.keys(initial).filter((field) => typeof initial[field] === "number");
    const problem = `"${name}" is not a number of the state; it has ${fields.join(", ") || "none"}`;
    throw invalid(`${where}.outputs`, problem);
  }
  return names;
}
