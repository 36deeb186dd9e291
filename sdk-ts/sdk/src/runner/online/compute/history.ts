import {
  type BatchColumns,
  type BatchInput,
  compilePlan,
  type Plan,
  runBatch,
} from "@qmtl/core/dataflow";
import { firstInputRow, inputRowEndMs, type OnlineInput } from "../log/input.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { OnlineClocks } from "./clocks.ts";
import type { OnlineWiring } from "./wiring.ts";

/** Rows of one node, contiguous. */
export type PastColumns = BatchColumns;

/** Nodes up to where the clocks stand, computed from private history, snapshots and effective rows. */
export interface ComputedPast {
  /** Rows of each node, inputs included. */
  readonly columns: ReadonlyMap<string, PastColumns>;
  /** First row of each node that was computed here and not taken from the log. */
  readonly computedFrom: (nodeId: string) => number;
  /** State of each node with state, after its last row. */
  readonly states: ReadonlyMap<string, Uint8Array>;
  /** Number of row evaluations this took. */
  readonly evaluations: number;
}

/** What a past is computed from. */
export interface PastParts {
  readonly wiring: OnlineWiring;
  /** Positioned where the past ends. */
  readonly clocks: OnlineClocks;
  /** Queues of the computed nodes. */
  readonly replicas: ReadonlyMap<string, QueueReplica>;
}

/** Whether every queue was read from its first record, and nothing of it was freed. */
export function isWhole({ wiring, replicas }: PastParts): boolean {
  const queues = [...replicas.values(), ...wiring.inputs.map(({ replica }) => replica)];
  return queues.every((replica) => replica.isWhole);
}

/**
 * Whether every queue still has the row at which the clocks stand and all that follow: a computation cannot continue
 * before or among freed rows.
 */
export function isKept({ wiring, replicas, clocks }: PastParts): boolean {
  const stands = (replica: QueueReplica, clock: string): boolean =>
    !replica.isTrimmed || replica.firstRow <= clocks.lastRow(clock);
  return (
    wiring.inputs.every(({ replica, clock }) => stands(replica, clock.key)) &&
    [...replicas].every(([id, replica]) => stands(replica, wiring.clockOf.get(id) ?? ""))
  );
}

/** Computes all nodes over all rows. Queues must have been read from their first record. */
export function computePast(parts: PastParts): ComputedPast {
  const { wiring, replicas, clocks } = parts;
  const { runtime, inputs, queries } = wiring;
  const all = [...replicas.keys()];
  const rows = inputs.map((input) => inputRows(input, clocks.lastRow(input.clock.key)));
  const columns = new Map(rows.map((each) => [each.nodeId, columnsOf(each)]));
  const isEmpty = rows.every((each) => each.endMs.length === 0);
  if (all.length === 0 || isEmpty) {
    return { columns, computedFrom: () => 0, states: new Map(), evaluations: 0 };
  }
  let evaluations = 0;
  const run = (supplied: readonly BatchInput[], wanted: readonly string[]) => {
    const ids = supplied.map(({ nodeId }) => nodeId);
    const plan = compilePlan({ graph: runtime, supplied: ids, wanted });
    const used = supplied.filter(({ nodeId }) => plan.nodeIndex.has(nodeId));
    const result = runBatch({ plan, inputs: used, collect: wanted });
    for (const count of result.evaluations.values()) evaluations += count;
    return result;
  };
  // What a query found in the past is known only from its own queue; for earlier rows, what it finds now is used.
  const asked = [...queries];
  const answers = asked.length === 0 ? new Map<string, PastColumns>() : run(rows, asked).columns;
  const given = [...answers].map(([id, answer]) => withLog(id, answer, replicas.get(id)));
  const { columns: computed, states } = run(
    [...rows, ...given],
    all.filter((id) => !queries.has(id)),
  );
  for (const each of given) columns.set(each.nodeId, columnsOf(each));
  for (const [id, each] of computed) columns.set(id, each);
  const computedFrom = (id: string): number => computed.get(id)?.firstRow ?? 0;
  return { columns, computedFrom, states, evaluations };
}

/** Rows of an input up to `lastRow`: the effective rows if the log has them, otherwise those of the file. */
export function inputRows(input: OnlineInput, lastRow: number, fromRow?: number): BatchInput {
  const { nodeId, replica, feed } = input;
  const first = Math.max(firstInputRow(input), fromRow ?? Number.NEGATIVE_INFINITY);
  const count = Number.isNaN(first) ? 0 : Math.max(0, lastRow - first + 1);
  const width = feed?.columns.length ?? 1; // a query reads the first column of what it found
  const columns = Array.from({ length: width }, () => new Float64Array(count).fill(Number.NaN));
  const missing = new Uint8Array(count);
  const endMs = new Float64Array(count);
  for (let at = 0; at < count; at++) {
    const row = first + at;
    const found = replica.row(row);
    endMs[at] = inputRowEndMs(input, row);
    const isFile = found === undefined && feed !== undefined && !feed.isMissing(row);
    if (!isFile && found?.content === undefined) missing[at] = 1;
    columns.forEach((column, k) => {
      if (isFile) column[at] = feed.columns[k]![row - feed.rows.firstRow]!;
      else column[at] = found?.content?.values[k] ?? Number.NaN;
    });
  }
  return { nodeId, endMs, firstRow: Number.isNaN(first) ? 0 : first, columns, missing };
}

function withLog(
  nodeId: string,
  answer: PastColumns,
  replica: QueueReplica | undefined,
): BatchInput {
  const { firstRow, endMs, values, missing } = answer;
  const columns = values.map((column) => Float64Array.from(column, Number));
  for (let at = 0; at < endMs.length; at++) {
    const found = replica?.row(firstRow + at);
    if (found === undefined) continue;
    missing[at] = found.content === undefined ? 1 : 0;
    columns.forEach((column, k) => {
      column[at] = found.content?.values[k] ?? Number.NaN;
    });
  }
  return { nodeId, endMs, firstRow, columns, missing };
}

export function columnsOf({ endMs, firstRow, columns, missing }: BatchInput): PastColumns {
  return {
    firstRow: firstRow ?? 0,
    endMs,
    values: columns.map((column) => (column instanceof Float64Array ? column : [...column])),
    missing: missing ?? new Uint8Array(endMs.length),
  };
}

/** Values of a node on a past row; null where its bucket is missing or not among the rows. */
export function pastValues(columns: PastColumns | undefined, row: number): Float64Array | null {
  const at = row - (columns?.firstRow ?? 0);
  if (columns === undefined || at < 0 || at >= columns.endMs.length || columns.missing[at] === 1) {
    return null;
  }
  return Float64Array.from(columns.values, (column) => {
    const value = column[at];
    return typeof value === "number" ? value : Number.NaN;
  });
}

/** Key of the clock of a node in a plan. */
export function clockKeyOf(plan: Plan, node: number): string {
  return plan.clocks[plan.nodes[node]!.clock]!.spec.key;
}
