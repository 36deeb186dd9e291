import {
  type BatchInput,
  compilePlan,
  type Plan,
  runBatch,
  StepExecutor,
} from "@qmtl/core/dataflow";
import { firstInputRow } from "../log/input.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import { OnlineClocks } from "./clocks.ts";
import {
  type ComputedPast,
  clockKeyOf,
  columnsOf,
  inputRows,
  isWhole,
  type PastColumns,
  type PastParts,
} from "./history.ts";
import type { OnlineWiring } from "./wiring.ts";

/** State of a node after a row, from a snapshot that was accepted. */
export interface KeptState {
  readonly row: number;
  readonly state: Uint8Array;
}

/** Kept states by node, newest first. */
export type KeptStates = ReadonlyMap<string, readonly KeptState[]>;

/** A position from which nodes can continue, with the state of each node with state there. */
export interface Checkpoint {
  readonly clocks: OnlineClocks;
  readonly states: ReadonlyMap<string, Uint8Array>;
}

/**
 * The past of some nodes from their newest common snapshot: the rows after it are computed, the rows before it that the
 * windows need are read. Gives the same bits as the whole past, in less time. Nodes without state have no snapshots: if
 * rows were freed, they are computed from the earliest row at which the windows can be filled. Undefined if the
 * snapshots or rows do not suffice.
 *
 * @param supplied nodes whose rows are read from their queues, inputs included
 * @param wanted nodes to be computed
 */
export function pastFromSnapshots(
  parts: PastParts,
  kept: KeptStates,
  supplied: ReadonlySet<string>,
  wanted: readonly string[],
): ComputedPast | undefined {
  const { wiring, clocks } = parts;
  const given = new Set([...supplied, ...wiring.queries]);
  const asked = wanted.filter((id) => !given.has(id));
  const isAll = isWhole(parts);
  if (isAll && asked.length === 0) return undefined;
  if (wanted.length === 0) return noPast;
  const plan = compilePlan({
    graph: wiring.runtime,
    supplied: given,
    wanted: asked.length === 0 ? wanted : asked,
  });
  const checkpoint =
    isAll || lengthsOf(plan).size > 0
      ? newestCheckpoint(plan, wiring, kept, clocks)
      : earliestCheckpoint(plan, parts);
  if (checkpoint === undefined) return undefined;
  const inputs: BatchInput[] = [];
  const history: BatchInput[] = [];
  for (const [handle, node] of plan.nodes.entries()) {
    const clock = clockKeyOf(plan, handle);
    const at = checkpoint.clocks.lastRow(clock);
    const from = at - plan.restoreRows + 1;
    if (node.supplied) {
      const rows = suppliedRows(parts, node.id, from, clocks.lastRow(clock));
      if (rows === undefined) return undefined;
      inputs.push(rows);
    } else if (plan.historyNodes.includes(node.id)) {
      const rows = queueRows(parts, node.id, clock, from, at);
      if (rows === undefined) return undefined;
      history.push(rows);
    }
  }
  const collect = plan.nodes.filter((node) => !node.supplied).map((node) => node.id);
  const restore = { rows: plan.restoreRows, states: checkpoint.states, history };
  const result = runBatch({ plan, inputs, collect, restore });
  const columns = new Map(inputs.map((each) => [each.nodeId, columnsOf(each)]));
  for (const [id, own] of result.columns) {
    const before = history.find((each) => each.nodeId === id);
    columns.set(id, before === undefined ? own : joined(columnsOf(before), own));
  }
  let evaluations = 0;
  for (const count of result.evaluations.values()) evaluations += count;
  const computedFrom = (id: string): number => result.columns.get(id)?.firstRow ?? 0;
  return { columns, computedFrom, states: result.states, evaluations };
}

/** The past of no nodes. */
const noPast: ComputedPast = {
  columns: new Map(),
  computedFrom: () => 0,
  states: new Map(),
  evaluations: 0,
};

/**
 * First row to read of each clock, by the clock's key, if a process begins at its newest snapshots; undefined if there
 * are none to begin at. Nothing need have been read from the log: bucket ends are those of the files.
 */
export function snapshotFromRows(
  wiring: OnlineWiring,
  kept: KeptStates,
): ReadonlyMap<string, number> | undefined {
  const supplied = wiring.inputs.map(({ nodeId }) => nodeId);
  const wanted = [...wiring.clockOf.keys()];
  const plan = compilePlan({ graph: wiring.runtime, supplied, wanted });
  const checkpoint = newestCheckpoint(plan, wiring, kept, undefined);
  if (checkpoint === undefined) return undefined;
  return new Map(
    plan.clocks.map(({ spec }) => {
      return [spec.key, checkpoint.clocks.lastRow(spec.key) - plan.restoreRows + 1] as const;
    }),
  );
}

/** Length in bytes of the state of each node with state, by node id. */
export function stateLengths(wiring: OnlineWiring): ReadonlyMap<string, number> {
  const supplied = wiring.inputs.map(({ nodeId }) => nodeId);
  const plan = compilePlan({
    graph: wiring.runtime,
    supplied,
    wanted: [...wiring.clockOf.keys()],
  });
  return lengthsOf(plan);
}

/** Length in bytes of the state of each node with state in a plan, by node id. */
export function lengthsOf(plan: Plan): ReadonlyMap<string, number> {
  const executor = new StepExecutor(plan, { chunk: 1 });
  const lengths = new Map<string, number>();
  for (const [handle, node] of plan.nodes.entries()) {
    const length = node.supplied ? 0 : executor.save(handle).length;
    if (length > 0) lengths.set(node.id, length);
  }
  return lengths;
}

/** The newest position up to that of `until` at which every node with state has a snapshot and the windows can fill. */
export function newestCheckpoint(
  plan: Plan,
  wiring: OnlineWiring,
  kept: KeptStates,
  until: OnlineClocks | undefined,
): Checkpoint | undefined {
  const nodes = [...lengthsOf(plan).keys()];
  const [first] = nodes;
  if (first === undefined) return undefined;
  const clocks = new OnlineClocks(wiring.inputs);
  const clockOf = (id: string): string => wiring.clockOf.get(id) ?? "";
  const ends = nodes.flatMap((id) =>
    (kept.get(id) ?? []).map(({ row }) => clocks.endMs(clockOf(id), row)),
  );
  for (const endMs of [...new Set(ends)].sort((a, b) => b - a)) {
    if (Number.isNaN(endMs)) continue;
    clocks.standAt(endMs);
    const states = statesAt(nodes, kept, (id) => clocks.lastRow(clockOf(id)));
    if (states === undefined) continue;
    const isReached = plan.clocks.every(({ spec: { key } }) => {
      const row = clocks.lastRow(key);
      const isPast = until === undefined || row <= until.lastRow(key);
      return isPast && row - plan.restoreRows + 1 >= clocks.firstRow(key);
    });
    if (isReached) return { clocks, states };
  }
  return undefined;
}

/** The earliest position at which the kept rows fill the windows of a plan whose nodes have no state. */
function earliestCheckpoint(plan: Plan, parts: PastParts): Checkpoint | undefined {
  const clocks = new OnlineClocks(parts.wiring.inputs);
  const firsts = new Map<string, number>();
  for (const [handle, node] of plan.nodes.entries()) {
    if (!node.supplied && !plan.historyNodes.includes(node.id)) continue;
    const clock = clockKeyOf(plan, handle);
    const first = firstRowOf(parts, node.id);
    firsts.set(clock, Math.max(first, firsts.get(clock) ?? Number.NEGATIVE_INFINITY));
  }
  const ends = [...firsts].map(([clock, first]) =>
    clocks.endMs(clock, first + plan.restoreRows - 1),
  );
  clocks.standAt(Math.max(...ends));
  const isReached = [...firsts].every(([clock, first]) => {
    const row = clocks.lastRow(clock);
    return row <= parts.clocks.lastRow(clock) && row - plan.restoreRows + 1 >= first;
  });
  return isReached ? { clocks, states: new Map() } : undefined;
}

/** First row of a node that is available, in its file or in its queue. */
function firstRowOf({ wiring, replicas }: PastParts, nodeId: string): number {
  const input = wiring.inputs.find((each) => each.nodeId === nodeId);
  if (input?.replica.isWhole === true) return firstInputRow(input);
  return (input?.replica ?? replicas.get(nodeId))?.firstRow ?? Number.NaN;
}

function statesAt(
  nodes: readonly string[],
  kept: KeptStates,
  rowOf: (nodeId: string) => number,
): Map<string, Uint8Array> | undefined {
  const states = new Map<string, Uint8Array>();
  for (const id of nodes) {
    const found = kept.get(id)?.find(({ row }) => row === rowOf(id));
    if (found === undefined) return undefined;
    states.set(id, found.state);
  }
  return states;
}

function suppliedRows(
  parts: PastParts,
  nodeId: string,
  from: number,
  to: number,
): BatchInput | undefined {
  const input = parts.wiring.inputs.find((each) => each.nodeId === nodeId);
  if (input === undefined) {
    return queueRows(parts, nodeId, parts.wiring.clockOf.get(nodeId) ?? "", from, to);
  }
  if (!input.replica.isWhole && from < input.replica.firstRow) return undefined;
  const rows = inputRows(input, to, from);
  return rows.firstRow === from ? rows : undefined;
}

/** Rows of a queue; undefined unless it has all of them. */
function queueRows(
  { clocks, replicas }: PastParts,
  nodeId: string,
  clock: string,
  from: number,
  to: number,
): BatchInput | undefined {
  const replica = replicas.get(nodeId);
  const count = to - from + 1;
  const width = replica === undefined ? 0 : columnCount(replica, from, to);
  if (replica === undefined || width < 0) return undefined;
  const columns = Array.from({ length: width }, () => new Float64Array(count).fill(Number.NaN));
  const missing = new Uint8Array(count);
  const endMs = new Float64Array(count);
  for (let at = 0; at < count; at++) {
    const found = replica.row(from + at);
    if (found === undefined) return undefined;
    endMs[at] = clocks.endMs(clock, from + at);
    if (found.content === undefined) missing[at] = 1;
    columns.forEach((column, k) => {
      column[at] = found.content?.values[k] ?? Number.NaN;
    });
  }
  return { nodeId, endMs, firstRow: from, columns, missing };
}

/** Number of outputs in the rows of a queue; −1 if none of them has values. */
function columnCount(replica: QueueReplica, from: number, to: number): number {
  for (let row = from; row <= to; row++) {
    const content = replica.row(row)?.content;
    if (content !== undefined) return content.values.length;
  }
  return -1;
}

function joined(before: PastColumns, after: PastColumns): PastColumns {
  const rows = before.endMs.length;
  const endMs = new Float64Array(rows + after.endMs.length);
  endMs.set(before.endMs);
  endMs.set(after.endMs, rows);
  const missing = new Uint8Array(endMs.length);
  missing.set(before.missing);
  missing.set(after.missing, rows);
  const values = after.values.map((column, k) => {
    const past = before.values[k] ?? [];
    return Float64Array.from(endMs, (_, at) => Number(at < rows ? past[at] : column[at - rows]));
  });
  return { firstRow: before.firstRow, endMs, values, missing };
}
