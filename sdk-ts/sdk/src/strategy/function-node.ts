import type { NodeParams } from "@qmtl/core/nodes";
import { checkCompute } from "./author-function.ts";
import { invalid } from "./declaration-error.ts";
import { checkParams } from "./params.ts";
import {
  checkSingleColumn,
  type NodeCode,
  type NodeInputs,
  StrategyNode,
  type WindowOptions,
} from "./strategy-node.ts";

/** What a {@link FunctionNode} is made of. */
interface FunctionParts {
  /** Kind of node, for errors. */
  readonly kind: string;
  /** What the author wrote. */
  readonly options: WindowOptions & { readonly inputs: NodeInputs; readonly params?: unknown };
  /** Name of the option that holds the function. */
  readonly field: string;
  /** The author's function. */
  readonly fn: (...args: never[]) => unknown;
  /** What the function is given, for errors. */
  readonly takes: readonly string[];
}

/** A node that a function of the author computes from named inputs. */
export abstract class FunctionNode<Column extends string = string> extends StrategyNode<Column> {
  /** The function, which is hashed by what it computes. */
  readonly code: NodeCode;
  /** The values on which its function depends beside the inputs; a frozen copy of what the author gave. */
  readonly functionParams: NodeParams;

  /** @throws {DeclarationError} naming the field. */
  protected constructor({ kind, options, field, fn, takes }: FunctionParts) {
    const where = `${kind}${options.name === undefined ? "" : ` "${options.name}"`}`;
    super(
      kind,
      options,
      Object.entries(options.inputs ?? {}).map(([port, node]) => ({ port, node })),
    );
    if (this.inputs.length === 0) throw invalid(`${where}.inputs`, "needs at least one upstream");
    checkSingleColumn(where, this.inputs);
    checkCompute(`${where}.${field}`, fn, takes);
    this.functionParams = checkParams(`${where}.params`, (options.params ?? {}) as NodeParams);
    this.code = { kind: "function", fn, declaredParams: Object.keys(this.functionParams) };
  }

  /** What it is called when the author names neither it nor its function. */
  protected abstract readonly plainName: string;

  defaultName(nameOf: (node: StrategyNode) => string): string {
    const { code, plainName } = this;
    const own = code.kind === "function" && !isOptionName(code.fn.name) ? code.fn.name : "";
    return `${own || plainName}(${this.inputs.map((input) => nameOf(input.node)).join(",")})`;
  }
}

/** A function that is written in place has the name of its option. */
const isOptionName = (name: string): boolean => name === "compute" || name === "step";
