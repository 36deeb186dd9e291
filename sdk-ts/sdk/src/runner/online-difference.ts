import type { RowContent } from "../sources/queue-row.ts";
import { isSameRow, rowText, shortHash } from "./online-hashes.ts";
import { type ComputedPast, pastValues } from "./online-past.ts";
import type { QueueReplica } from "./queue-replica.ts";

/** A row on which the log and what was computed here differ. */
export interface Difference {
  readonly row: number;
  readonly local: string;
  readonly log: string;
}

const none = new Uint8Array();

/**
 * First row up to `lastRow` where what was computed here differs from the log of a key; undefined when all are equal.
 */
export function difference(
  past: ComputedPast,
  key: QueueReplica,
  lastRow: number,
): Difference | undefined {
  const { nodeId } = key.identity;
  const columns = past.columns.get(nodeId);
  const state = past.states.get(nodeId);
  const last = Math.min(lastRow, key.nextRow - 1);
  for (let row = Math.max(key.firstRow, past.computedFrom(nodeId)); row <= last; row++) {
    const values = pastValues(columns, row);
    const stateHash = row === lastRow && state !== undefined ? shortHash(state) : none;
    const local: RowContent | undefined =
      values === null
        ? undefined
        : { bucketEndMs: 0, values, inputSeq: [], stateHash, windowHash: none };
    const log = key.row(row)?.content;
    if (!isSameRow(local, log)) return { row, local: rowText(local), log: rowText(log) };
  }
  return undefined;
}
