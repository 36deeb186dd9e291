import { blake3Hex } from "@qmtl/core/canonical";
import type { StepExecutor } from "@qmtl/core/dataflow";
import { float64Bytes, type RowContent } from "../log/wire-records.ts";

/** Bytes of the hash of a state or a window. */
const hashBytes = 8;
/** A node without state shows the hash of its input windows on every such row. */
export const windowHashRows = 64;

/** First 8 bytes of BLAKE3. */
export function shortHash(bytes: Uint8Array): Uint8Array {
  return Buffer.from(blake3Hex(bytes).slice(0, 2 * hashBytes), "hex");
}

/** Hash of the input windows of a node at its last row. */
export function windowHash(executor: StepExecutor, handle: number): Uint8Array {
  const windows = executor.inputWindows(handle).flatMap((window) => [...window]);
  return shortHash(float64Bytes(windows));
}

/**
 * Whether two rows say the same, bit for bit: values, and state where both have one. Their windows are for audits: they
 * may reach back before the log, where one process has other rows than another and computes the same from them.
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
