import type { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { CallPrincipal, Clock, Logger, Metrics } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type { GateView } from "../ports.ts";
import type { DroppedRunners } from "./dropped-runners.ts";
import type { RecordHub } from "./record-hub.ts";
import type { SliceBooker } from "./slice-booker.ts";

/** Notified of what a timeline asks of its runners. Implemented by `StreamRegistry`. */
export interface RunnerListener {
  /** Its timeline goes on without the session. */
  dropped(sessionId: string): void;
  /** Its timeline waits for the session again. */
  takenBack(sessionId: string): void;
  /** The sessions must end the last slice once more. */
  restate(sessionIds: readonly string[]): void;
}

export interface ReplayFeedsPorts {
  readonly dag: Peer;
  readonly gateway: CallPrincipal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly booker: Pick<
    SliceBooker,
    | "book"
    | "passed"
    | "take"
    | "mustBook"
    | "missed"
    | "logged"
    | "queuesOf"
    | "isBooked"
    | "isReported"
    | "whyUnbooked"
    | "usesOf"
    | "sharing"
  >;
  readonly gates: Pick<GateView, "onHeard" | "state">;
  /** See `ComputeOnlyWorlds`. */
  readonly stagesOf: (worldId: string) => Promise<readonly EffectiveMode[]>;
  readonly live: Pick<RecordHub, "show" | "showAgain" | "unsure">;
  readonly runners: RunnerListener;
  readonly dropped: Pick<DroppedRunners, "load" | "add" | "remove" | "close">;
  /** Sources of the configuration: true for those that are replayed. */
  readonly sources: ReadonlyMap<string, boolean>;
  readonly sessionDeadMs: number;
}
