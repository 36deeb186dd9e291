import {
  type BatchColumns,
  type BatchInput,
  compilePlan,
  type Plan,
  type RuntimeGraph,
  runBatch,
  StepExecutor,
} from "@qmtl/core/dataflow";
import type { QmtlConfig } from "../../config/index.ts";
import { type IdentifiedNode, toRuntimeGraph } from "../../strategy/graphs.ts";
import { FoldNode, type Strategy } from "../../strategy/index.ts";
import { sourcesOf, streamRows } from "../offline/compute.ts";
import { findOfflineTags, tagRows } from "../offline/tags.ts";
import { loadSourceRows, type SourceRows } from "../source-files/source-rows.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import type { StrategyClass } from "../strategy-loading/strategy-module.ts";

/** A claim holds if less than this share of the largest output depends on rows that are forgotten. */
const EFFECT_MAX = 1e-9;
const STARTS_MAX = 8;

/** What was found of one fold of a strategy. */
export interface FoldCheck {
  /** Id of the node. */
  readonly nodeId: string;
  /** Name of the node. */
  readonly name: string;
  /** What its `memory` claims. */
  readonly memory: number | "all";
  /** Rows of its clock in the data. */
  readonly rows: number;
  /** Rows at which its state was set back to the initial one; 0: it claims nothing, or there are too few rows. */
  readonly starts: number;
  /**
   * Largest difference from the fold that was not set back, `memory` rows after that and later, as a fraction of the
   * largest absolute value of the output; infinite where only one of them has a value.
   */
  readonly effect: number;
  /** The claim holds on this data, or there was nothing to measure. */
  readonly isTrue: boolean;
}

/** What {@link checkFolds} reads. */
export interface FoldCheckOptions {
  /** Where the sources are. */
  readonly config: QmtlConfig;
  /** Called for a tag map that cannot be used. */
  readonly onProblem: (problem: string) => void;
}

/**
 * Runs the folds of a strategy over the rows of its sources, checks the shape of their state after every row, and
 * measures what they claim to forget: each is set back to its initial state at up to eight rows, and must give the same
 * outputs `memory` rows later.
 *
 * @param given the strategy
 * @param options configuration with its sources
 * @returns what was found of each fold, in the order of the graph
 * @throws {DeclarationError | CodeHashError | StrategyRunError | CsvError | ComputeError} as a backtest; `STATE_SHAPE`
 * for a state that is not of its shape after a row.
 */
export async function checkFolds(
  given: StrategyClass | Strategy,
  { config, onProblem }: FoldCheckOptions,
): Promise<FoldCheck[]> {
  const identified = identifyStrategy(given, { worldId: "offline" });
  const folds = identified.graph.nodes.filter(({ declared }) => declared.node instanceof FoldNode);
  if (folds.length === 0) return [];
  const tags = findOfflineTags(identified, config, onProblem);
  const names = [...sourcesOf(identified), ...tags.filed.map(({ source }) => source)];
  const feeds = new Map<string, SourceRows>();
  for (const name of new Set(names)) {
    feeds.set(name, await loadSourceRows(config, name, undefined));
  }
  const inputs = [...streamRows(identified, feeds), ...tagRows(tags, feeds)];
  const graph = toRuntimeGraph(identified.graph, { tagMatches: tags.matches });
  const wanted = [...new Set(folds.flatMap((fold) => [fold.id, ...readBy(fold)]))];
  const supplied = inputs.map(({ nodeId }) => nodeId);
  const plan = compilePlan({ graph, supplied, wanted });
  const used = inputs.filter(({ nodeId }) => plan.nodeIndex.has(nodeId));
  // In chunks of a row, so that the shape of each state is checked after each.
  const { columns } = runBatch({ plan, inputs: used, collect: wanted, chunk: 1 });
  return folds.map((fold) => checkFold(fold, graph, columns));
}

const readBy = ({ hashable }: IdentifiedNode): string[] => [
  ...new Set(hashable.inputs.map(({ node_id }) => node_id)),
];

function checkFold(
  fold: IdentifiedNode,
  graph: RuntimeGraph,
  columns: ReadonlyMap<string, BatchColumns>,
): FoldCheck {
  const { id, declared } = fold;
  const { memory } = declared.node as FoldNode;
  const whole = columns.get(id)!;
  const rows = whole.endMs.length;
  const found = { nodeId: id, name: declared.name, memory, rows };
  const starts = memory === "all" ? [] : startsOf(rows, memory);
  if (memory === "all" || starts.length === 0) {
    return { ...found, starts: 0, effect: 0, isTrue: true };
  }
  const supplied = readBy(fold);
  const plan = compilePlan({ graph, supplied, wanted: [id] });
  const inputs = supplied.map((nodeId): BatchInput => {
    const { endMs, firstRow, values, missing } = columns.get(nodeId)!;
    return { nodeId, endMs, firstRow, columns: values, missing };
  });
  let effect = 0;
  for (const start of starts) {
    const late = outputsFrom(plan, inputs, fold, start, rows);
    whole.values.forEach((column, k) => {
      effect = Math.max(effect, difference(column, late[k]!, start + memory));
    });
  }
  return { ...found, starts: starts.length, effect, isTrue: effect <= EFFECT_MAX };
}

/** Up to eight rows, evenly spread, after each of which there are more than `memory` rows. */
function startsOf(rows: number, memory: number): number[] {
  const last = rows - memory - 1;
  if (last < 1) return [];
  const spread = Array.from({ length: STARTS_MAX }, (_, k) =>
    Math.floor(1 + (k * (last - 1)) / (STARTS_MAX - 1)),
  );
  return [...new Set(spread)];
}

/** Outputs of a fold whose state is the initial one again before its row number `start`. */
function outputsFrom(
  plan: Plan,
  inputs: readonly BatchInput[],
  fold: IdentifiedNode,
  start: number,
  rows: number,
): Float64Array[] {
  const executor = new StepExecutor(plan);
  const handle = executor.handle(fold.id);
  const outputs = fold.declared.node.outputs.map(() => new Float64Array(rows).fill(Number.NaN));
  const next = inputs.map(() => 0);
  const ownFeed = inputs.findIndex(
    ({ nodeId }) => plan.nodes[executor.handle(nodeId)]!.clock === plan.nodes[handle]!.clock,
  );
  let done = 0;
  for (;;) {
    const ends = inputs.map(({ endMs }, k) => endMs[next[k]!] ?? Number.POSITIVE_INFINITY);
    const endMs = Math.min(...ends);
    if (endMs === Number.POSITIVE_INFINITY) return outputs;
    const isOwn = ends[ownFeed] === endMs;
    if (isOwn && done === start) setBack(executor, handle, fold);
    inputs.forEach(({ nodeId, firstRow = 0, columns, missing }, k) => {
      if (ends[k] !== endMs) return;
      const at = next[k]!++;
      const own = executor.handle(nodeId);
      if (missing?.[at] === 1) executor.pushMissing(own, firstRow + at, endMs);
      else
        executor.push(
          own,
          firstRow + at,
          endMs,
          columns.map((column) => column[at]),
        );
    });
    executor.step(endMs);
    if (!isOwn) continue;
    outputs.forEach((column, k) => {
      column[done] = executor.isPresent(handle) ? executor.value(handle, k) : Number.NaN;
    });
    done++;
  }
}

/** Gives a fold its initial state; what its guards remember of the inputs stays. */
function setBack(executor: StepExecutor, handle: number, { declared }: IdentifiedNode): void {
  const initial = declared.node.kernel(declared.period)!.create().save();
  const state = executor.save(handle);
  const view = new DataView(state.buffer, state.byteOffset + state.byteLength - initial.byteLength);
  initial.forEach((value, k) => {
    view.setFloat64(k * 8, value, true);
  });
  executor.load(handle, state);
}

/** Largest difference of two columns from a row on, as a fraction of the largest absolute value of the first. */
function difference(whole: ArrayLike<unknown>, late: Float64Array, from: number): number {
  let scale = 0;
  let most = 0;
  for (let row = 0; row < whole.length; row++) {
    const value = Number(whole[row]);
    if (Number.isFinite(value)) scale = Math.max(scale, Math.abs(value));
    if (row < from || Object.is(value, late[row])) continue;
    const gap = Math.abs(value - late[row]!);
    most = Math.max(most, Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap);
  }
  return most === 0 ? 0 : most / scale;
}
