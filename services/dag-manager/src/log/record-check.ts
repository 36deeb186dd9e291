import type {
  EmptyRows,
  QueueRecord,
  Rows,
  Start,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { emptyRowsMax, isRecordTime, queueRowMax, runTimesFault } from "@qmtl/core/queues";

/** What the records of a queue must fit. */
export interface QueueShape {
  /** Number of columns of a row. */
  readonly columns: number;
  /** Which of them hold bytes of any length; all others hold float64. */
  readonly bytesColumns: readonly number[];
  readonly intervalSeconds: number;
  readonly isSource: boolean;
}

const safeMax = BigInt(Number.MAX_SAFE_INTEGER);

/** What is wrong with a record in itself, whatever the log holds; undefined when nothing is. */
export function recordFault(record: QueueRecord, shape: QueueShape): string | undefined {
  const { seq, body } = record;
  if (seq > safeMax) return "seq is beyond 2^53";
  switch (body.case) {
    case "start":
      return startFault(body.value, shape);
    case "rows":
      return rowsFault(body.value, shape);
    case "empty":
      return emptyFault(body.value, shape);
    case "mark":
      return isRecordTime(Number(body.value.watermarkMs))
        ? undefined
        : "watermark_ms must be within the years 1 to 9999";
    case "end":
      return undefined;
    case undefined:
      return "it has no body";
  }
}

function startFault({ origin, feedFingerprint }: Start, shape: QueueShape): string | undefined {
  // The next holder of a computed queue states none, and would be refused as of another feed.
  if (!shape.isSource && feedFingerprint !== "") return "feed_fingerprint is only for sources";
  if (origin === undefined) return undefined;
  const rowMax = queueRowMax(shape.intervalSeconds);
  if (!isWithin(origin.row, 0, rowMax)) return `origin.row must be from 0 to ${rowMax}`;
  // Buckets that are numbered from 1970 have negative numbers before it, and a warm-up may begin there.
  const isBefore = isWithin(origin.warmFromRow, -rowMax, Number(origin.row));
  return isBefore ? undefined : "origin.warm_from_row must not be after origin.row";
}

function rowsFault(rows: Rows, shape: QueueShape): string | undefined {
  const { count, columns } = rows;
  const rowMax = queueRowMax(shape.intervalSeconds);
  if (!isWithin(rows.row, 0, rowMax - count + 1)) return `row must be from 0 to ${rowMax}`;
  const times = runTimesFault(rows);
  if (times !== undefined) return times;
  if (columns.length !== shape.columns) {
    return `must have ${shape.columns} columns, has ${columns.length}`;
  }
  for (let at = 0; at < columns.length; at++) {
    const fault = shape.bytesColumns.includes(at)
      ? bytesFault(count)
      : numbersFault(columns[at]!, count);
    if (fault !== undefined) return `columns[${at}] ${fault}`;
  }
  if (rows.inputSeq.length % count !== 0) return "input_seq must have one entry per row and port";
  const { stateHash } = rows;
  if (stateHash.length !== 0 && stateHash.length !== 8 * count)
    return `state_hash must have ${8 * count} bytes`;
  if (rows.windowHash.length !== 0 && count > 1) return "a row with window_hash stands alone";
  return undefined;
}

function emptyFault(empty: EmptyRows, shape: QueueShape): string | undefined {
  const { row, toRow, knownAtMs } = empty;
  const rowMax = queueRowMax(shape.intervalSeconds);
  if (!isWithin(row, 0, rowMax)) return `row must be from 0 to ${rowMax}`;
  if (!isWithin(toRow, Number(row), rowMax)) return `to_row must be from row to ${rowMax}`;
  if (Number(toRow - row) >= emptyRowsMax) return `at most ${emptyRowsMax} rows`;
  const isTime = knownAtMs === undefined || isRecordTime(knownAtMs);
  return isTime ? undefined : "known_at_ms must be within the years 1 to 9999";
}

/** Rounding does no harm: the bounds are far below 2^53. */
function isWithin(value: bigint, min: number, max: number): boolean {
  const number = Number(value);
  return number >= min && number <= max;
}

function bytesFault(count: number): string | undefined {
  return count === 1 ? undefined : "has bytes: such a row stands alone";
}

/** Bytes of a column are looked at as they are: a number is made of none of them. */
function numbersFault(column: Uint8Array, count: number): string | undefined {
  if (column.length !== 8 * count) return `must have ${8 * count} bytes`;
  for (let at = 7; at < column.length; at += 8) {
    const isNumber = (column[at]! & 0x7f) !== 0x7f || column[at - 1]! < 0xf0;
    if (!isNumber && !isInfinite(column, at) && !isCanonicalNan(column, at)) {
      return "has a NaN that is not 0x7ff8000000000000";
    }
  }
  return undefined;
}

function isInfinite(column: Uint8Array, last: number): boolean {
  return column[last - 1] === 0xf0 && isZeroBelow(column, last);
}

function isCanonicalNan(column: Uint8Array, last: number): boolean {
  return column[last] === 0x7f && column[last - 1] === 0xf8 && isZeroBelow(column, last);
}

/** Whether the lowest six bytes of the number whose highest is at `last` are 0. */
function isZeroBelow(column: Uint8Array, last: number): boolean {
  for (let at = last - 7; at < last - 1; at++) if (column[at] !== 0) return false;
  return true;
}
