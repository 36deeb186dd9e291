import { blake3Hex } from "@qmtl/core/canonical";
import type { StepExecutor } from "@qmtl/core/dataflow";
import { float64Bytes, type RowContent } from "../log/wire-records.ts";

/** Length of the hash of a state or a window, bytes. */
const hashBytes = 8;
/** Rows from one hash of its input windows to the next, in the records of a node without state. */
export const windowHashRows = 64;

/** First 8 bytes of the BLAKE3 hash. */
export function shortHash(bytes: Uint8Array): Uint8Array {
  return Buffer.from(blake3Hex(bytes).slice(0, 2 * hashBytes), "hex");
}

/** Hash of the input windows of a node at its last row. */
export function windowHash(executor: StepExecutor, handle: number): Uint8Array {
  const windows = executor.inputWindows(handle).flatMap((window) => [...window]);
  return shortHash(float64Bytes(windows));
}

/**
 * Whether two rows are equal, bit for bit: their values, and their state hashes if both have one. Window hashes are for
 * audits only: a window may reach back before the log, where two processes may have different rows and still compute
 * the same.
 */
export function isSameRow(a: RowContent | undefined, b: RowContent | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (!Buffer.from(float64Bytes(a.values)).equals(float64Bytes(b.values))) return false;
  const isEither = a.stateHash.length === 0 || b.stateHash.length === 0;
  return isEither || Buffer.from(a.stateHash).equals(b.stateHash);
}

/** A row as short text, for messages about a difference. */
export function rowText(row: RowContent | undefined): string {
  if (row === undefined) return "missing";
  return `${[...row.values].join(",")}#${Buffer.from(row.stateHash).toString("hex")}`;
}
