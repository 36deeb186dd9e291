import { emptyFold, type FoldState } from "./fold.ts";
import type { QueueRecord } from "./queue-record.ts";

/** Where a session stands with one key. */
export type HolderPhase = "WAITING" | "CLAIMED" | "RESTORING" | "HOLDING" | "DIVERGED";

/** A record as the node computed it: the holder adds epoch and seq. */
export type ProducedRecord = Omit<QueueRecord, "epoch" | "seq">;

/** State of one session's claim on one key. Never mutated. */
export interface HolderState {
  readonly phase: HolderPhase;
  /** Epoch of the lease held or claimed; 0 while waiting. */
  readonly epoch: number;
  /** The holder's own fold of its own read of the log. Published means: this fold has accepted it. */
  readonly fold: FoldState;
  /** Sent and not yet seen effective; seqs continue from the fold's next without gap. */
  readonly window: readonly QueueRecord[];
  readonly windowMax: number;
  /** When START was last sent, or when the window last moved or was sent again. */
  readonly lastSendMs: number;
  /** Past this the holder sends nothing; a renewal moves it. */
  readonly usableUntilMs: number;
  /** A clean release is under way: nothing new is sent after `sinceMs`. */
  readonly releasing: { readonly sinceMs: number } | null;
}

/** What can happen to a holder. Times are on the elapsed clock, in milliseconds. */
export type HolderInput =
  | {
      readonly kind: "granted";
      readonly epoch: number;
      readonly usableUntilMs: number;
      readonly nowMs: number;
    }
  | { readonly kind: "renewed"; readonly epoch: number; readonly usableUntilMs: number }
  | { readonly kind: "lease_lost"; readonly currentEpoch: number }
  | { readonly kind: "record"; readonly record: QueueRecord; readonly nowMs: number }
  | { readonly kind: "restored"; readonly nowMs: number }
  | {
      readonly kind: "diverged";
      readonly row: number;
      readonly localHash: string;
      readonly logHash: string;
    }
  | { readonly kind: "produced"; readonly record: ProducedRecord; readonly nowMs: number }
  | { readonly kind: "release"; readonly nowMs: number }
  | { readonly kind: "timer"; readonly nowMs: number };

/**
 * What the holder asks of its surroundings, in order. A runner acts on `append_start`, `send`, `store_snapshot` and
 * `release_lease` alone: its executor looks at the phase instead of `restore` and `drop_local`, and `HeldLeases` asks
 * for leases and reads queues by itself. The models act on all of them.
 */
export type HolderEffect =
  | { readonly kind: "acquire" }
  | { readonly kind: "append_start"; readonly epoch: number }
  | { readonly kind: "send"; readonly records: readonly QueueRecord[] }
  /** Load the newest snapshot that the log confirms, run the rest up to `nextRow − 1`, comparing. */
  | { readonly kind: "restore"; readonly seq: number; readonly nextRow: number }
  /** Local results at and beyond `fromSeq` are void; state comes from snapshot and log again. */
  | { readonly kind: "drop_local"; readonly fromSeq: number }
  | { readonly kind: "store_snapshot" }
  | {
      readonly kind: "release_lease";
      readonly epoch: number;
      readonly reason: "clean" | "diverged";
      readonly divergence?: {
        readonly row: number;
        readonly localHash: string;
        readonly logHash: string;
      };
    }
  | { readonly kind: "subscribe" };

/** A new state and what to do. */
export interface HolderStep {
  readonly state: HolderState;
  readonly effects: readonly HolderEffect[];
}

/** A candidate that has read the log up to `fold` (blank only at offset 0). */
export function startHolder(windowMax: number, fold: FoldState = emptyFold()): HolderState {
  return {
    phase: "WAITING",
    epoch: 0,
    fold,
    window: [],
    windowMax,
    lastSendMs: 0,
    usableUntilMs: Number.NEGATIVE_INFINITY,
    releasing: null,
  };
}

/**
 * Usable end of a node lease: `lease − margin` from before the request was sent, on the elapsed clock.
 * It spares work and void records; it is not what makes takeover safe.
 */
export function usableUntil(sentAtMs: number, leaseMs: number, marginMs: number): number {
  return sentAtMs + leaseMs - marginMs;
}

/** Records the node may still compute and send now; 0 when full, not holding, releasing or past usable. */
export function windowRoom(state: HolderState, nowMs: number): number {
  if (state.phase !== "HOLDING" || state.releasing !== null || nowMs >= state.usableUntilMs)
    return 0;
  return state.windowMax - state.window.length;
}
