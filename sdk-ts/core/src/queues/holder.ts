import { cloneFold, type FoldState, foldStep, type VoidReason } from "./fold.ts";
import type {
  HolderEffect,
  HolderInput,
  HolderState,
  HolderStep,
  ProducedRecord,
} from "./holder-state.ts";
import type { QueueRecord } from "./queue-record.ts";
import { QUEUE_TIMERS, type QueueTimers } from "./queue-timers.ts";

/** The rule by which a reader takes a record; the product's is `foldStep`. */
export type FoldRule = (state: FoldState, record: QueueRecord) => VoidReason | null;

/**
 * One step of the takeover machine of a key's holder.
 *
 * | state     | on                                    | do                                                             | next      |
 * | --------- | ------------------------------------- | -------------------------------------------------------------- | --------- |
 * | WAITING   | grant (epoch e)                       | append START(e); repeat each resend time                       | CLAIMED   |
 * | CLAIMED   | own START seen, effective             | prefix is frozen: take seq, next row from the fold; restore    | RESTORING |
 * | CLAIMED, RESTORING, HOLDING | fold epoch > e, or lease lost | stop; drop what lies beyond the fold's seq            | WAITING   |
 * | RESTORING | every row compared equal              | –                                                              | HOLDING   |
 * | RESTORING, HOLDING | any bit differs              | publish nothing (Q9); release (`diverged`)                     | DIVERGED  |
 * | HOLDING   | record computed, room in the window   | send (epoch, seq …)                                            | HOLDING   |
 * | HOLDING   | record computed, past the usable time | keep it in the window: sent once the lease is renewed           | HOLDING   |
 * | HOLDING   | no progress for the resend time       | send the window again, from the fold's next seq                | HOLDING   |
 * | HOLDING   | release asked                         | wait for the window (bounded); snapshot; release               | WAITING   |
 * | CLAIMED, RESTORING | release asked                | release                                                        | WAITING   |
 *
 * The holder reads its own queue: a lost or late acknowledgement, a duplicate or a restart of the log's
 * owner changes nothing. Reading the log before START is in it is what this machine must never do: a record
 * of the old holder can still land between (Q8 in docs/internals/queues.md).
 */
export function holderStep(
  state: HolderState,
  input: HolderInput,
  timers: QueueTimers = QUEUE_TIMERS,
  rule: FoldRule = foldStep,
): HolderStep {
  switch (input.kind) {
    case "granted":
      return onGrant(state, input.epoch, input.usableUntilMs, input.nowMs);
    case "renewed":
      return onRenewed(state, input.epoch, input.usableUntilMs);
    case "lease_lost":
      return isClaiming(state) ? backToWaiting(state) : same(state);
    case "record":
      return onRecord(state, input.record, input.nowMs, rule);
    case "restored":
      if (state.phase !== "RESTORING") return same(state);
      return same({ ...state, phase: "HOLDING", lastSendMs: input.nowMs });
    case "diverged":
      return onDiverged(state, input);
    case "produced":
      return onProduced(state, input.record, input.nowMs);
    case "release":
      return onRelease(state, input.nowMs);
    case "timer":
      return onTimer(state, input.nowMs, timers);
  }
}

function onGrant(
  state: HolderState,
  epoch: number,
  usableUntilMs: number,
  nowMs: number,
): HolderStep {
  if (state.phase !== "WAITING" || epoch <= state.fold.epoch) return same(state);
  return {
    state: {
      ...state,
      phase: "CLAIMED",
      epoch,
      usableUntilMs,
      lastSendMs: nowMs,
      window: [],
      releasing: null,
    },
    effects: [{ kind: "append_start", epoch }],
  };
}

function onRenewed(state: HolderState, epoch: number, usableUntilMs: number): HolderStep {
  if (!isClaiming(state) || epoch !== state.epoch) return same(state);
  return same({ ...state, usableUntilMs: Math.max(state.usableUntilMs, usableUntilMs) });
}

function onRecord(
  state: HolderState,
  record: QueueRecord,
  nowMs: number,
  rule: FoldRule,
): HolderStep {
  const fold = cloneFold(state.fold);
  if (rule(fold, record) !== null) return same(state);
  const next: HolderState = { ...state, fold };
  if (!isClaiming(state)) return same(next);
  if (fold.epoch > state.epoch) return backToWaiting(next);
  if (state.phase === "CLAIMED" && record.kind === "START" && record.epoch === state.epoch) {
    return {
      state: { ...next, phase: "RESTORING" },
      effects: [{ kind: "restore", seq: fold.seq, nextRow: fold.nextRow }],
    };
  }
  // Seqs in the window follow one another.
  const first = state.window.findIndex((sent) => (sent.seq ?? -1) >= fold.seq);
  const window = first < 0 ? [] : state.window.slice(first);
  return finishRelease({ ...next, window, lastSendMs: nowMs });
}

function onProduced(state: HolderState, produced: ProducedRecord, nowMs: number): HolderStep {
  if (!hasPlace(state)) return same(state);
  const record: QueueRecord = {
    ...produced,
    epoch: state.epoch,
    seq: state.fold.seq + state.window.length,
  };
  const lastSendMs = state.window.length === 0 ? nowMs : state.lastSendMs;
  const next: HolderState = { ...state, window: [...state.window, record], lastSendMs };
  // The lease may have run out while the record was computed: it must not be lost, for what follows has its seq and
  // row. It goes out with the window once the lease is renewed.
  if (nowMs >= state.usableUntilMs) return same(next);
  return { state: next, effects: [{ kind: "send", records: [record] }] };
}

function hasPlace(state: HolderState): boolean {
  const { phase, releasing, window, windowMax } = state;
  return phase === "HOLDING" && releasing === null && window.length < windowMax;
}

function onTimer(state: HolderState, nowMs: number, timers: QueueTimers): HolderStep {
  if (state.releasing !== null && nowMs - state.releasing.sinceMs >= timers.releaseDrainMs) {
    return finishRelease({ ...state, window: [] });
  }
  const isDue = nowMs - state.lastSendMs >= timers.resendMs && nowMs < state.usableUntilMs;
  if (!isDue) return same(state);
  const sent: HolderState = { ...state, lastSendMs: nowMs };
  if (state.phase === "CLAIMED") {
    return { state: sent, effects: [{ kind: "append_start", epoch: state.epoch }] };
  }
  if (state.phase !== "HOLDING" || state.window.length === 0) return same(state);
  return { state: sent, effects: [{ kind: "send", records: state.window }] };
}

function onRelease(state: HolderState, nowMs: number): HolderStep {
  if (state.phase === "HOLDING" && state.releasing === null) {
    return finishRelease({ ...state, releasing: { sinceMs: nowMs } });
  }
  if (state.phase !== "CLAIMED" && state.phase !== "RESTORING") return same(state);
  return {
    state: { ...state, phase: "WAITING", epoch: 0, window: [] },
    effects: [{ kind: "release_lease", epoch: state.epoch, reason: "clean" }],
  };
}

function finishRelease(state: HolderState): HolderStep {
  if (state.releasing === null || state.window.length > 0) return same(state);
  return {
    state: { ...state, phase: "WAITING", epoch: 0, releasing: null },
    effects: [
      { kind: "store_snapshot" },
      { kind: "release_lease", epoch: state.epoch, reason: "clean" },
      { kind: "subscribe" },
    ],
  };
}

function onDiverged(
  state: HolderState,
  divergence: { readonly row: number; readonly localHash: string; readonly logHash: string },
): HolderStep {
  if (state.phase !== "RESTORING" && state.phase !== "HOLDING") return same(state);
  const { row, localHash, logHash } = divergence;
  return {
    state: { ...state, phase: "DIVERGED", window: [], releasing: null },
    effects: [
      {
        kind: "release_lease",
        epoch: state.epoch,
        reason: "diverged",
        divergence: { row, localHash, logHash },
      },
      { kind: "subscribe" },
    ],
  };
}

function backToWaiting(state: HolderState): HolderStep {
  const effects: HolderEffect[] = [
    { kind: "drop_local", fromSeq: state.fold.seq },
    { kind: "acquire" },
  ];
  return { state: { ...state, phase: "WAITING", epoch: 0, window: [], releasing: null }, effects };
}

function isClaiming(state: HolderState): boolean {
  return state.phase === "CLAIMED" || state.phase === "RESTORING" || state.phase === "HOLDING";
}

function same(state: HolderState): HolderStep {
  return { state, effects: [] };
}
