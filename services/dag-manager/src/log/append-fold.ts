import { enumToJson } from "@bufbuild/protobuf";
import {
  type QueueRecord,
  RecordFault,
  RecordFaultSchema,
  type Start,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import {
  type QueueRecord as FoldRecord,
  type FoldState,
  float64At,
  foldStep,
  type VoidReason,
} from "@qmtl/core/queues";
import { type QueueShape, recordFault } from "./record-check.ts";
import { firstRowOf, runLength, sliceRun } from "./record-run.ts";

/** What an append must know of a key: the head, and what limits it. */
export interface AppendTarget {
  readonly fold: FoldState;
  /** Last epoch that was ever granted for the key; nothing is stored under a higher one (Q12). */
  readonly grantedEpoch: number;
  /** Fingerprint of the feed at the last START. */
  readonly feedFingerprint: string;
  /** Stopped by a divergence or a loss: no record is effective. */
  readonly isBlocked: boolean;
  readonly shape: QueueShape;
  /** Fingerprints that the writer's own submissions pin the source to; undefined: they do not pin it. */
  readonly pins: ReadonlySet<string> | undefined;
  /** Feed limit: no row with a later bucket end may pass (Q15), milliseconds since 1970; null: no limit. */
  readonly untilMs: number | null;
}

/** How far a record (or run) got: the part that is effective, and why the rest is not. */
export interface FoldedRecord {
  /** The effective part that is new; undefined when there is none. */
  readonly taken: QueueRecord | undefined;
  /** Number of leading records before the next seq: repeats, if their content equals that of the log. */
  readonly repeated: number;
  /** Why the record after the effective ones is not; UNSPECIFIED: all are effective, if the repeats are. */
  readonly fault: RecordFault;
}

/** The fold's reasons for a void record, as they are sent on the wire. */
const FAULTS: Readonly<Record<VoidReason, RecordFault>> = {
  start_not_newer: RecordFault.START_NOT_NEWER,
  no_start: RecordFault.NO_START,
  stale_epoch: RecordFault.STALE_EPOCH,
  epoch_without_start: RecordFault.EPOCH_WITHOUT_START,
  ended: RecordFault.ENDED,
  repeated_seq: RecordFault.REPEATED_SEQ,
  future_seq: RecordFault.FUTURE_SEQ,
  wrong_row: RecordFault.WRONG_ROW,
  known_at_fell: RecordFault.KNOWN_AT_FELL,
  watermark_fell: RecordFault.WATERMARK_FELL,
  // The server refuses revisions before they get here: they are planned.
  revisions_unsupported: RecordFault.MALFORMED,
  undecodable: RecordFault.MALFORMED,
};

/** A fault as the metrics name it, such as `stale_epoch`. */
export function faultName(fault: RecordFault): string {
  return String(enumToJson(RecordFaultSchema, fault)).replace("RECORD_FAULT_", "").toLowerCase();
}

/** Folds one record, or run, into the target, as far as it is effective. */
export function foldAppend(target: AppendTarget, record: QueueRecord): FoldedRecord {
  if (target.isBlocked) return { ...nothing, fault: RecordFault.BLOCKED };
  if (recordFault(record, target.shape) !== undefined) {
    return { ...nothing, fault: RecordFault.MALFORMED };
  }
  if (record.body.case === "start") return foldStart(target, record, record.body.value);
  const length = runLength(record);
  const first = Number(record.seq);
  const repeated = Math.max(0, Math.min(length, target.fold.seq - first));
  let taken = 0;
  let fault: RecordFault = RecordFault.UNSPECIFIED;
  for (let at = repeated; at < length; at += 1) {
    fault = faultAt(target, record, at);
    if (fault !== RecordFault.UNSPECIFIED) break;
    taken += 1;
  }
  const part = taken > 0 ? sliceRun(record, repeated, taken) : undefined;
  return { taken: part, repeated, fault };
}

const nothing = { taken: undefined, repeated: 0, fault: RecordFault.UNSPECIFIED };

/** Folds record `at` of a run into the target; returns why it is not effective, or UNSPECIFIED. */
function faultAt(target: AppendTarget, record: QueueRecord, at: number): RecordFault {
  const { body } = record;
  if (body.case === "rows" && isHeld(target, float64At(body.value.bucketEndMs, at))) {
    return RecordFault.HELD;
  }
  const voidReason = foldStep(target.fold, foldRecordAt(record, at));
  return voidReason === null ? RecordFault.UNSPECIFIED : FAULTS[voidReason];
}

function foldStart(target: AppendTarget, record: QueueRecord, start: Start): FoldedRecord {
  const epoch = Number(record.leaseEpoch);
  if (epoch <= target.fold.epoch) return { ...nothing, repeated: 1 };
  if (epoch > target.grantedEpoch) return { ...nothing, fault: RecordFault.LEASE_MISSING };
  const { feedFingerprint, pins } = target;
  if (pins?.has(start.feedFingerprint) === false) {
    return { ...nothing, fault: RecordFault.FEED_CHANGED };
  }
  const isOtherFeed = feedFingerprint !== "" && start.feedFingerprint !== feedFingerprint;
  if (isOtherFeed && start.cut === undefined) {
    return { ...nothing, fault: RecordFault.FEED_CHANGED };
  }
  const voidReason = foldStep(target.fold, foldRecordAt(record, 0));
  if (voidReason !== null) return { ...nothing, fault: FAULTS[voidReason] };
  return { ...nothing, taken: record };
}

function isHeld(target: AppendTarget, bucketEndMs: number): boolean {
  return target.untilMs !== null && bucketEndMs > target.untilMs;
}

/** Record `at` of a run in the fold's types; it has been checked. */
function foldRecordAt(record: QueueRecord, at: number): FoldRecord {
  const { body } = record;
  const epoch = Number(record.leaseEpoch);
  const seq = Number(record.seq) + at;
  switch (body.case) {
    case "start": {
      const { origin } = body.value;
      if (origin === undefined) return { kind: "START", epoch };
      const row = Number(origin.row);
      const warmFromRow = Number(origin.warmFromRow);
      return { kind: "START", epoch, origin: { row, warmFromRow, stateHash: "" } };
    }
    case "mark":
      return { kind: "MARK", epoch, seq, watermarkMs: Number(body.value.watermarkMs) };
    case "end":
      return { kind: "END", epoch, seq };
    case "empty":
      return {
        kind: "EMPTY",
        epoch,
        seq,
        row: Number(body.value.row),
        toRow: Number(body.value.toRow),
        ...(body.value.knownAtMs === undefined ? {} : { knownAtMs: body.value.knownAtMs }),
      };
    case "rows": {
      const row = firstRowOf(record) + at;
      const rev = body.value.revision;
      const knownAtMs = float64At(body.value.knownAtMs, at);
      return { kind: rev === 0 ? "ROW" : "REV", epoch, seq, row, rev, knownAtMs };
    }
    case undefined:
      throw new Error("a record without a body is never folded");
  }
}
