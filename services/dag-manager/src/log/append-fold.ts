import { type QueueRecord, RecordKind } from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import {
  type QueueRecord as FoldRecord,
  type FoldState,
  foldStep,
  type VoidReason,
} from "@qmtl/sdk/queues";
import type { ReasonName } from "@qmtl/sdk/rpc";
import { float64At, runLength, sliceRun } from "./record-run.ts";

/** What the head of a key and its surroundings say, as read under its lock. */
export interface AppendTarget {
  readonly fold: FoldState;
  /** Last epoch that was ever granted for the key. */
  readonly grantedEpoch: number;
  /** Fingerprint of the feed at the last START. */
  readonly feedFingerprint: string;
  /** No later bucket end may pass, milliseconds since the epoch; null for no hold. */
  readonly untilMs: number | null;
}

/** How far a record (or run) got: `taken` of its records are effective; then why no more. */
export interface FoldedRecord {
  readonly taken: QueueRecord | undefined;
  /** Records at the front that lie before the next seq: repeats, if their content is that of the log. */
  readonly repeated: number;
  readonly fault: ReasonName | undefined;
  readonly voidReason: VoidReason | undefined;
}

const kindNames: Readonly<Record<number, FoldRecord["kind"]>> = {
  [RecordKind.START]: "START",
  [RecordKind.ROW]: "ROW",
  [RecordKind.EMPTY]: "EMPTY",
  [RecordKind.MARK]: "MARK",
  [RecordKind.END]: "END",
  [RecordKind.REV]: "REV",
};

const faults: Readonly<Record<VoidReason, ReasonName>> = {
  start_not_newer: "STALE_EPOCH",
  no_start: "STALE_EPOCH",
  stale_epoch: "STALE_EPOCH",
  epoch_without_start: "STALE_EPOCH",
  ended: "QUEUE_ENDED",
  repeated_seq: "SEQ_CONFLICT",
  future_seq: "SEQ_CONFLICT",
  wrong_row: "SEQ_CONFLICT",
  known_at_fell: "SEQ_CONFLICT",
  watermark_fell: "SEQ_CONFLICT",
  revisions_unsupported: "FEATURE_NOT_BUILT",
  undecodable: "INVALID_FIELD",
};

/** Folds one record into the target, as far as it is effective. */
export function foldAppend(target: AppendTarget, record: QueueRecord): FoldedRecord {
  if (record.kind === RecordKind.START) return foldStart(target, record);
  const length = runLength(record);
  const first = Number(record.seq);
  const repeated = Math.max(0, Math.min(length, target.fold.seq - first));
  let taken = 0;
  for (let at = repeated; at < length; at += 1) {
    const held =
      record.kind === RecordKind.ROW && isHeld(target, float64At(record.bucketEndMs, at));
    const voidReason = held ? null : foldStep(target.fold, foldRecordAt(record, at));
    if (held || voidReason !== null) {
      const part = taken > 0 ? sliceRun(record, repeated, taken) : undefined;
      const fault = voidReason === null ? "BARRIER_HELD" : faults[voidReason];
      return { taken: part, repeated, fault, voidReason: voidReason ?? undefined };
    }
    taken += 1;
  }
  const part = taken > 0 ? sliceRun(record, repeated, taken) : undefined;
  return { taken: part, repeated, fault: undefined, voidReason: undefined };
}

function foldStart(target: AppendTarget, record: QueueRecord): FoldedRecord {
  const none = { taken: undefined, repeated: 0, fault: undefined, voidReason: undefined };
  const epoch = Number(record.leaseEpoch);
  if (epoch <= target.fold.epoch) return { ...none, repeated: 1 };
  if (epoch > target.grantedEpoch) return { ...none, fault: "LEASE_MISSING" };
  const { feedFingerprint } = target;
  const isOtherFeed = feedFingerprint !== "" && record.feedFingerprint !== feedFingerprint;
  if (isOtherFeed && record.cut === undefined) return { ...none, fault: "FEED_CHANGED" };
  const voidReason = foldStep(target.fold, foldRecordAt(record, 0));
  if (voidReason !== null) return { ...none, fault: faults[voidReason], voidReason };
  return { ...none, taken: record, fault: undefined };
}

function isHeld(target: AppendTarget, bucketEndMs: number): boolean {
  return target.untilMs !== null && bucketEndMs > target.untilMs;
}

function foldRecordAt(record: QueueRecord, at: number): FoldRecord {
  const kind = kindNames[record.kind] ?? "REV";
  const epoch = Number(record.leaseEpoch);
  if (kind === "START") {
    const { origin } = record;
    if (origin === undefined) return { kind, epoch };
    const row = Number(origin.row);
    const warmFromRow = Number(origin.warmFromRow);
    return { kind, epoch, origin: { row, warmFromRow, stateHash: "" } };
  }
  const seq = Number(record.seq) + at;
  if (kind === "MARK") return { kind, epoch, seq, watermarkMs: Number(record.watermarkMs) };
  if (kind === "END") return { kind, epoch, seq };
  const row = Number(record.row) + at;
  if (kind === "EMPTY")
    return { kind, epoch, seq, row, toRow: Math.max(row, Number(record.toRow)) };
  return { kind, epoch, seq, row, rev: record.rev, knownAtMs: float64At(record.knownAtMs, at) };
}
