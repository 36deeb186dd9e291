import { type Plan, StepExecutor } from "@qmtl/core/dataflow";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RowContent } from "../log/wire-records.ts";
import type { OnlineClocks } from "./clocks.ts";
import { isSameRow, rowText, shortHash } from "./hashes.ts";
import { type ComputedPast, pastValues } from "./history.ts";

/** Progress of one clock of a plan during a restore. */
interface Walk {
  readonly key: string;
  readonly clock: number;
  readonly lastRow: number;
  row: number;
}

/**
 * An executor at the position of the clocks: its windows are filled, and the states of the nodes it computes are
 * loaded.
 *
 * @param recorded nodes whose past rows are taken as they are, in addition to those whose rows cannot be computed again
 */
export function restoredExecutor(
  plan: Plan,
  past: ComputedPast,
  clocks: OnlineClocks,
  recorded: ReadonlySet<string>,
): StepExecutor {
  const executor = new StepExecutor(plan);
  const walks = plan.clocks.map((clock, at): Walk => {
    const { key } = clock.spec;
    const firsts = plan.nodes.flatMap(({ id, supplied, clock: own }) =>
      supplied && own === at ? [past.columns.get(id)?.firstRow ?? Number.POSITIVE_INFINITY] : [],
    );
    const lastRow = clocks.lastRow(key);
    return {
      key,
      clock: at,
      lastRow,
      row: Math.max(lastRow - plan.restoreRows + 1, Math.min(...firsts)),
    };
  });
  const kept = new Set([...plan.historyNodes, ...recorded]);
  while (restoreBucket(executor, past, clocks, walks, kept)) {
    // One bucket after the other, on all clocks that have it.
  }
  for (const [handle, node] of plan.nodes.entries()) {
    const state = node.supplied ? undefined : past.states.get(node.id);
    if (state !== undefined) executor.load(handle, state);
  }
  return executor;
}

/** Restores the next bucket; false when there is none. */
function restoreBucket(
  executor: StepExecutor,
  past: ComputedPast,
  clocks: OnlineClocks,
  walks: readonly Walk[],
  kept: ReadonlySet<string>,
): boolean {
  const { plan } = executor;
  const open = walks.filter(({ row, lastRow }) => row <= lastRow);
  if (open.length === 0) return false;
  const ends = open.map(({ key, row }) => clocks.endMs(key, row));
  const endMs = Math.min(...ends);
  const due = open.filter((_, at) => ends[at] === endMs);
  const rowOf = new Map(due.map(({ clock, row }) => [clock, row]));
  const record: [number, Float64Array | null][] = [];
  let isPushed = false;
  for (const [handle, node] of plan.nodes.entries()) {
    const row = rowOf.get(node.clock);
    if (row === undefined) continue;
    const values = pastValues(past.columns.get(node.id), row);
    if (!node.supplied) {
      if (kept.has(node.id)) record.push([handle, values]);
      continue;
    }
    isPushed = true;
    if (values === null) executor.pushMissing(handle, row, endMs);
    else executor.push(handle, row, endMs, values);
  }
  if (isPushed) executor.restoreStep(endMs, record);
  for (const walk of due) walk.row++;
  return true;
}

/** A row on which the log and what was computed here differ. */
interface Difference {
  readonly row: number;
  readonly local: string;
  readonly log: string;
}

const none = new Uint8Array();

/**
 * First row up to `lastRow` where what was computed here differs from the log of a queue; undefined when all are equal.
 */
export function difference(
  past: ComputedPast,
  replica: QueueReplica,
  lastRow: number,
): Difference | undefined {
  const { nodeId } = replica.identity;
  const columns = past.columns.get(nodeId);
  const state = past.states.get(nodeId);
  const last = Math.min(lastRow, replica.nextRow - 1);
  for (let row = Math.max(replica.firstRow, past.computedFrom(nodeId)); row <= last; row++) {
    const values = pastValues(columns, row);
    const stateHash = row === lastRow && state !== undefined ? shortHash(state) : none;
    const local: RowContent | undefined =
      values === null
        ? undefined
        : { bucketEndMs: 0, values, inputSeq: [], stateHash, windowHash: none };
    const log = replica.row(row)?.content;
    if (!isSameRow(local, log)) return { row, local: rowText(local), log: rowText(log) };
  }
  return undefined;
}
