import type { QueueRecord } from "./queue-record.ts";

/**
 * State of the fold over the log of one key up to some offset.
 *
 * What counts in a queue is a pure function of the log up to that record: no clock, no reader and no
 * "highest epoch seen" decides. Every reader, the queue's owner, the holder and the tests use this one
 * module, over the records of a key in offset order. Invariants Q1, Q2, Q5 and Q6 (docs/internals/queues.md).
 */
export interface FoldState {
  /** Epoch of the last effective START; 0 before the first. */
  epoch: number;
  /** Seq that the next effective record must have. */
  seq: number;
  /** Row that the next effective ROW or EMPTY must start at. */
  nextRow: number;
  /** Highest `known_at` of an effective record, −∞ before the first. */
  knownAtMs: number;
  /** Highest watermark of an effective MARK, −∞ before the first. */
  watermarkMs: number;
  /** An END was effective and no START since. */
  ended: boolean;
}

/** Why a record is void. Void is final: the same record sent again is void again, or another one. */
export type VoidReason =
  | "start_not_newer"
  | "no_start"
  | "stale_epoch"
  | "epoch_without_start"
  | "ended"
  | "repeated_seq"
  | "future_seq"
  | "wrong_row"
  | "known_at_fell"
  | "watermark_fell"
  | "revisions_unsupported"
  | "undecodable";

/** The fold of an empty log. Allowed as a reader's start only at offset 0. */
export function emptyFold(): FoldState {
  return {
    epoch: 0,
    seq: 0,
    nextRow: 0,
    knownAtMs: Number.NEGATIVE_INFINITY,
    watermarkMs: Number.NEGATIVE_INFINITY,
    ended: false,
  };
}

/** An independent copy of a fold state. */
export function cloneFold(state: FoldState): FoldState {
  return { ...state };
}

/**
 * Takes the next record of the log into `state` (mutated iff the record is effective) and returns
 * null when it is effective, else why it is void. Allocates nothing.
 *
 * | record                 | effective iff                                                             | then                                   |
 * | ---------------------- | ------------------------------------------------------------------------- | -------------------------------------- |
 * | START                  | its epoch > the fold's                                                    | fold epoch = its epoch; not ended      |
 * | ROW, EMPTY, MARK, END  | epoch = the fold's ∧ seq = next ∧ row = next row ∧ known_at, watermark not below ∧ not ended | seq + 1; next row = last row + 1 |
 * | REV                    | never: revisions are not supported                                         | nothing                                |
 * | anything else          | never                                                                     | nothing                                |
 *
 * The very first START fixes the origin, and with it the first row.
 */
export function foldStep(state: FoldState, record: QueueRecord): VoidReason | null {
  if (!(record.epoch >= 1)) return "undecodable";
  if (record.kind === "START") return foldStart(state, record);
  if (state.epoch === 0) return "no_start";
  if (record.epoch < state.epoch) return "stale_epoch";
  if (record.epoch > state.epoch) return "epoch_without_start";
  if (record.kind === "REV") return "revisions_unsupported";
  if (state.ended) return "ended";
  const seq = record.seq;
  if (seq === undefined || !Number.isSafeInteger(seq)) return "undecodable";
  if (seq < state.seq) return "repeated_seq";
  if (seq > state.seq) return "future_seq";
  return foldData(state, record);
}

function foldStart(state: FoldState, record: QueueRecord): VoidReason | null {
  if (record.epoch <= state.epoch) return "start_not_newer";
  if (state.epoch === 0 && record.origin !== undefined) {
    if (!Number.isSafeInteger(record.origin.row)) return "undecodable";
    state.nextRow = record.origin.row;
  }
  state.epoch = record.epoch;
  state.ended = false;
  return null;
}

function foldData(state: FoldState, record: QueueRecord): VoidReason | null {
  let lastRow = state.nextRow - 1;
  if (record.kind === "ROW" || record.kind === "EMPTY") {
    if (record.row !== state.nextRow || (record.rev ?? 0) !== 0) return "wrong_row";
    lastRow = record.kind === "EMPTY" ? (record.toRow ?? record.row) : record.row;
    if (!Number.isSafeInteger(lastRow) || lastRow < state.nextRow) return "wrong_row";
  } else if (record.kind !== "MARK" && record.kind !== "END") return "undecodable";
  if (record.kind === "ROW" && record.knownAtMs === undefined) return "undecodable";
  const knownAtMs = record.knownAtMs ?? state.knownAtMs;
  if (!(knownAtMs >= state.knownAtMs)) return "known_at_fell";
  if (record.kind === "MARK" && record.watermarkMs === undefined) return "undecodable";
  const watermarkMs = record.watermarkMs ?? state.watermarkMs;
  if (!(watermarkMs >= state.watermarkMs)) return "watermark_fell";
  state.seq += 1;
  state.nextRow = lastRow + 1;
  state.knownAtMs = knownAtMs;
  state.watermarkMs = watermarkMs;
  if (record.kind === "END") state.ended = true;
  return null;
}
