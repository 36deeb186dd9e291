import {
  type BatchColumns,
  type BatchInput,
  compilePlan,
  type Plan,
  runBatch,
  StepExecutor,
} from "../dataflow/index.ts";
import type { OnlineGraph } from "./online-graph.ts";
import type { OnlineKey } from "./online-key.ts";

/** Every node up to a row, computed from the private history and the effective source rows. */
export interface ComputedPast {
  readonly firstRow: number;
  readonly lastRow: number;
  readonly inputs: ReadonlyMap<string, BatchInput>;
  readonly columns: ReadonlyMap<string, BatchColumns>;
  readonly states: ReadonlyMap<string, Uint8Array>;
  /** Row evaluations it took. */
  readonly evaluations: number;
}

/** Runs all nodes over the rows up to `lastRow`. */
export function computePast(
  graph: OnlineGraph,
  sourceKeys: ReadonlyMap<string, OnlineKey>,
  lastRow: number,
): ComputedPast {
  const ids = graph.computed.map((node) => node.id);
  const { firstRow } = graph.rows;
  const inputs = new Map(
    graph.sources.map((source) => {
      const key = sourceKeys.get(source.nodeId)!;
      return [source.nodeId, sourceInput(graph, source.nodeId, key, lastRow)] as const;
    }),
  );
  if (ids.length === 0 || lastRow < firstRow) {
    const none = { columns: new Map(), states: new Map(), evaluations: 0 };
    return { firstRow, lastRow, inputs, ...none };
  }
  const supplied = graph.sources.map((source) => source.nodeId);
  const plan = compilePlan({ graph: graph.runtime, supplied, wanted: ids });
  const used = [...inputs.values()].filter((input) => plan.nodeIndex.has(input.nodeId));
  const result = runBatch({ plan, inputs: used, collect: ids });
  let evaluations = 0;
  for (const count of result.evaluations.values()) evaluations += count;
  const { columns, states } = result;
  return { firstRow, lastRow, inputs, columns, states, evaluations };
}

/** Effective rows where the log has them, rows of the file before. */
function sourceInput(
  graph: OnlineGraph,
  nodeId: string,
  key: OnlineKey,
  lastRow: number,
): BatchInput {
  const { feed } = graph.sources.find((source) => source.nodeId === nodeId)!;
  const { firstRow } = graph.rows;
  const count = Math.max(0, lastRow - firstRow + 1);
  const endMs = graph.rows.bucketEndMs.slice(0, count);
  const columns = feed.columns.map((column) => column.slice(0, count));
  const missing = new Uint8Array(count);
  if (key.isStarted) {
    for (let row = Math.max(firstRow, key.firstRow); row <= lastRow; row++) {
      const found = key.row(row);
      if (found === undefined) break;
      const at = row - firstRow;
      if (found.content === undefined) {
        missing[at] = 1;
        for (const column of columns) column[at] = Number.NaN;
        continue;
      }
      endMs[at] = found.content.bucketEndMs;
      const { values } = found.content;
      columns.forEach((column, k) => {
        column[at] = values[k] ?? Number.NaN;
      });
    }
  }
  return { nodeId, endMs, firstRow, columns, missing };
}

/**
 * An executor that stands after the last row of `past`: its windows are filled and the states of what it computes
 * are loaded. `supplied` are the sources and the nodes that others compute.
 */
export function restoredExecutor(
  graph: OnlineGraph,
  past: ComputedPast,
  supplied: ReadonlySet<string>,
  wanted: readonly string[],
): StepExecutor {
  const plan = compilePlan({ graph: graph.runtime, supplied, wanted });
  const executor = new StepExecutor(plan);
  const from = Math.max(past.firstRow, past.lastRow - plan.restoreRows + 1);
  for (let row = from; row <= past.lastRow; row++) restoreRow(executor, plan, past, row);
  for (const [handle, node] of plan.nodes.entries()) {
    const state = node.supplied ? undefined : past.states.get(node.id);
    if (state !== undefined && past.lastRow >= past.firstRow) executor.load(handle, state);
  }
  return executor;
}

function restoreRow(executor: StepExecutor, plan: Plan, past: ComputedPast, row: number): void {
  const at = row - past.firstRow;
  const endMs = [...past.inputs.values()][0]!.endMs[at]!;
  const record: [number, Float64Array | null][] = [];
  for (const [handle, node] of plan.nodes.entries()) {
    const values = pastValues(past, node.id, at);
    if (node.supplied) {
      if (values === null) executor.pushMissing(handle, row, endMs);
      else executor.push(handle, row, endMs, values);
    } else if (plan.historyNodes.includes(node.id)) record.push([handle, values]);
  }
  executor.restoreStep(endMs, record);
}

/** Values of a node on a past row; null where its bucket is missing. */
export function pastValues(past: ComputedPast, nodeId: string, at: number): Float64Array | null {
  const input = past.inputs.get(nodeId);
  const columns = input?.columns ?? past.columns.get(nodeId)?.values ?? [];
  const missing = input?.missing ?? past.columns.get(nodeId)?.missing;
  if (missing?.[at] === 1) return null;
  return Float64Array.from(columns, (column) => {
    const value = column[at];
    return typeof value === "number" ? value : Number.NaN;
  });
}
