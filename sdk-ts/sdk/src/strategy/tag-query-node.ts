import type { Window } from "@qmtl/core/cache";
import type { NodeKernel, OnMissing } from "@qmtl/core/dataflow";
import type { NodeParams } from "@qmtl/core/nodes";
import { authorKernel, checkCompute, checkResult } from "./author-function.ts";
import { invalid } from "./declaration-error.ts";
import { checkTags, type IntervalInput } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { checkParams } from "./params.ts";
import {
  type NodeCode,
  StrategyNode,
  type WindowOptions,
  windowOptionKeys,
} from "./strategy-node.ts";

/** Declaration of a {@link TagQueryNode}. */
export interface TagQueryNodeOptions<Params extends NodeParams = NodeParams>
  extends Omit<WindowOptions, "onMissing"> {
  /** Tags to look for, at least one; their order does not matter. */
  readonly queryTags: readonly string[];
  /** Interval of the queues to look for, and of the node itself. */
  readonly interval: IntervalInput;
  /** What it does where a queue has no value, as for any node; one mode for all queues. @default "skip" */
  readonly onMissing?: OnMissing | undefined;
  /** `any`: one matching tag is enough; `all`: every tag must match. @default "any" */
  readonly matchMode?: "any" | "all" | undefined;
  /** Values on which the function may depend; plain JSON, part of the node id. @default {} */
  readonly params?: Params | undefined;
  /** Pure function of one window per queue found, ordered by node id; `null` or NaN = no value. */
  readonly compute: (windows: readonly Window[], params: Params) => number | null;
}

const optionKeys: OptionKeys<TagQueryNodeOptions> = {
  ...windowOptionKeys,
  queryTags: true,
  matchMode: true,
  params: true,
  compute: true,
};

/** A node over all queues that carry the tags. Its node id depends on the query, never on the queues found. */
export class TagQueryNode<Params extends NodeParams = NodeParams> extends StrategyNode<"value"> {
  readonly nodeType = "TagQueryNode";
  readonly outputs = ["value"] as const;
  readonly params: NodeParams;
  readonly code: NodeCode;
  /** Tags of the query, sorted. */
  readonly queryTags: readonly string[];
  /** Whether one matching tag is enough or every tag must match. */
  readonly matchMode: "any" | "all";
  readonly #compute: (windows: readonly Window[], params: never) => number | null;

  /**
   * @param options query, interval and function
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: TagQueryNodeOptions<Params>) {
    checkOptions<TagQueryNodeOptions<Params>>("TagQueryNode", options, optionKeys);
    super("TagQueryNode", options, undefined);
    if (options.interval === undefined) throw invalid("TagQueryNode.interval", "is required");
    const { matchMode = "any" } = options;
    this.queryTags = checkTags("TagQueryNode.queryTags", options.queryTags);
    if (this.queryTags.length === 0) throw invalid("TagQueryNode.queryTags", "must not be empty");
    if (matchMode !== "any" && matchMode !== "all") {
      throw invalid("TagQueryNode.matchMode", "must be any or all");
    }
    this.matchMode = matchMode;
    checkCompute("TagQueryNode.compute", options.compute, ["windows", "params"]);
    const given = checkParams("TagQueryNode.params", options.params ?? {});
    this.params = Object.freeze({ query_tags: this.queryTags, match_mode: matchMode, given });
    this.#compute = options.compute;
    this.code = { kind: "function", fn: options.compute, declaredParams: Object.keys(given) };
  }

  defaultName(): string {
    return `tags(${this.queryTags.join(",")})`;
  }

  /** A query runs only once its queues are known: see {@link kernelFor}. */
  kernel(): undefined {
    return undefined;
  }

  /**
   * Makes what runs the node once its queues are known.
   *
   * @param period rows in each window
   */
  kernelFor(period: number): NodeKernel {
    const compute = this.#compute;
    const given = this.params.given as never; // a copy of the author's params
    return authorKernel(period, (windows) => () => checkResult(compute(windows, given)));
  }
}
