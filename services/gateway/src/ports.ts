import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GateState, Heartbeat, HeartbeatReply } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type {
  SetTargetsRequest,
  SetTargetsResponse,
  SetTargetsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { SessionScope } from "@qmtl/service-kit";

/** What this gateway knows of each world's gate: the last revision it applied, in order and without gap. */
export interface GateView {
  /** State applied last; undefined while nothing is known, which means shut. */
  state(worldId: string): GateState | undefined;
  /** Loads a world's gate if it is not known yet. Throws WORLD_NOT_FOUND, PEER_UNAVAILABLE. */
  ensure(worldId: string): Promise<GateState>;
  /** Calls back after each applied revision, in order. Returns the unsubscribe function. */
  onApplied(listener: (worldId: string, state: GateState, change: string) => void): () => void;
}

/** Relays heartbeats to WorldService, batched for at most 50 ms; never answers by itself. */
export interface LeaseRelay {
  /** Throws PEER_UNAVAILABLE when WorldService gives no answer, HALTED while a halt of scope `all` is in force. */
  renew(heartbeat: Heartbeat): Promise<HeartbeatReply>;
  /** While true, nothing is relayed: every session of this gateway falls shut within a lease. */
  setStopped(stopped: boolean): void;
}

/** One bar of a feed that is effective in the log. Times in milliseconds since the epoch, prices in quote currency. */
export interface SourceBar {
  readonly source: string;
  readonly instrument: string;
  readonly row: number;
  readonly bucketEndMs: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/** What the caller's ticket covers, as verified at the door. */
export interface TicketClaims {
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyIds: readonly string[];
  readonly topics: readonly string[];
  readonly purpose: "observe" | "gate";
  readonly principal: string;
}

/** The order path: the only way out. */
export interface OrderPath {
  /**
   * Takes targets and ends a bucket. Resolves when everything in the call is booked or refused.
   * Waits until the bars of every row that ends are booked, so that a target never meets an older book.
   */
  setTargets(
    request: SetTargetsRequest,
    session: SessionScope,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>>;
  /** Books bars of a feed, in row order, each once: fills at the open, marks at the close, returns. Resolves when durable. */
  onBars(bars: readonly SourceBar[]): Promise<void>;
  /** Last row of a feed that is booked, -1 for none. */
  bookedRow(source: string): number;
}

/** The replay barrier of this gateway, told by the order path that a session has ended a row. */
export interface BarrierEnds {
  ended(source: string, end: RunnerEnd): void;
  /** What to set so that rows of a feed can be booked; undefined when they can be, or nothing is known of it. */
  whyUnbooked(source: string): string | undefined;
}

/** A runner's end of a bucket that the router has booked, or refused. */
export interface RunnerEnd {
  readonly sessionId: string;
  readonly worldId: string;
  readonly row: number;
  /** It was said under a lease. */
  readonly isArmed: boolean;
}

export type { SetTargetsResponse };
