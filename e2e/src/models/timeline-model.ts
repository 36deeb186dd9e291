import { hash } from "node:crypto";
import type { OfferedRow, TimelineState } from "@qmtl/core/queues";
import type { Entry } from "./timeline-story.ts";

export interface ModelRunner {
  readonly isUp: boolean;
  readonly isPaused: boolean;
  /** Last slice it has computed. */
  readonly seen: number;
  /** It has a lease under the gate that opened. */
  readonly isArmed: boolean;
  /** Last end it was answered, or sent when an end is sent once. */
  readonly told: string;
  /** A call that is still on its way, a second time. */
  readonly copy: Call | null;
}

/** What a runner states of a slice, n = 1 under the new lease. */
export interface Call {
  readonly t: number;
  readonly n: number;
  readonly isArmed: boolean;
}

export interface Owner {
  readonly epoch: number;
  readonly state: TimelineState;
  /** Epoch under which each feed's row was offered. */
  readonly offeredUnder: readonly number[];
  /** Rows of each feed that were let pass, as one. */
  readonly passing: readonly (OfferedRow | null)[];
  readonly mustBook: boolean;
  /** Calls that are held, by runner. */
  readonly held: readonly (Call | null)[];
  /** The calls whose targets are being stored; n = 1 for those stated after the gate opened. */
  readonly taking: { readonly calls: readonly (Call | null)[]; readonly n: number } | null;
}

export interface Model {
  readonly log: readonly number[];
  readonly ended: readonly boolean[];
  readonly leases: readonly number[];
  readonly journal: readonly Entry[];
  readonly untilMs: number | null;
  readonly isOpen: boolean;
  /** The apply has begun that opens the gate of a world that may only compute. */
  readonly isFrozen: boolean;
  /** Last slice when the gate opened, 0 for none; null: it is shut. */
  readonly openedAt: number | null;
  readonly ownerEpoch: number;
  readonly owner: Owner;
  readonly zombie: { readonly epoch: number; readonly entries: readonly Entry[] } | null;
  readonly runners: readonly ModelRunner[];
  /** Targets that may be missing: "slice/runner" of runners that were out. */
  readonly missed: readonly string[];
  readonly left: Readonly<Record<"crash" | "take" | "pause" | "die" | "copy", number>>;
}

export const deadMs = 1_000;
export const feedName = (f: number) => `f${f}`;
export const runnerName = (r: number) => `r${r}`;

/** A state as a short text: equal states give the same, others another. A tenth of the memory of the state itself. */
export function keyOf(model: Model): string {
  const text = JSON.stringify(model, (_, value: unknown) =>
    value instanceof Map ? [...value] : value,
  );
  return hash("sha256", text, "base64url");
}
