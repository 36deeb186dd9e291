import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GateChange, GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { HeartbeatReply } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import type {
  SetTargetsRequest,
  SetTargetsResponse,
  SetTargetsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { RelayedHeartbeatSchema } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import type { SessionOrigin, SessionScope } from "@qmtl/service-kit";
import type { TopicName } from "@qmtl/service-kit/control";

/** What this gateway knows of each world's gate: the last revision it applied, in order and without gap. */
export interface GateView {
  /** State applied last; undefined while nothing is known, which means shut. */
  state(worldId: string): GateState | undefined;
  /** Loads a world's gate if it is not known yet. Throws WORLD_NOT_FOUND, PEER_UNAVAILABLE. */
  ensure(worldId: string): Promise<GateState>;
  /** Calls back after each applied revision, in order. Returns the unsubscribe function. */
  onApplied(listener: GateListener): () => void;
}

/** Told of a state as it was applied, and of what changed; "snapshot" for a state that was asked for. */
export type GateListener = (
  worldId: string,
  state: GateState,
  change: GateChange | "snapshot",
) => void;

/** A heartbeat with the claim that a gateway makes of its ticket. */
export type ClaimedHeartbeat = MessageInitShape<typeof RelayedHeartbeatSchema>;

/** Relays heartbeats to WorldService, batched for at most 50 ms; never answers by itself. */
export interface LeaseRelay {
  /** Throws PEER_UNAVAILABLE when WorldService gives no answer, HALTED while a halt of scope `all` is in force. */
  renew(heartbeat: ClaimedHeartbeat): Promise<HeartbeatReply>;
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

/** What a ticket says. */
export interface TicketClaims extends SessionScope {
  readonly topics: readonly TopicName[];
  /** Where it runs, as its client says. @default not told */
  readonly origin?: SessionOrigin;
  /** Name of the caller it was issued to; nobody else can use it. */
  readonly principal: string;
}

/** The order path: the only way out. */
export interface OrderPath {
  /**
   * Takes targets and ends a bucket. Resolves when everything in the call is booked or refused.
   * Waits until the bars of every row that ends are booked, so that a target never meets an older book; not longer than
   * `waitMs`.
   */
  setTargets(
    request: SetTargetsRequest,
    session: SessionScope,
    waitMs: number,
  ): Promise<MessageInitShape<typeof SetTargetsResponseSchema>>;
  /** Books bars of a feed, in row order, each once: fills at the open, marks at the close, returns. Resolves when durable. */
  onBars(bars: readonly SourceBar[]): Promise<void>;
  /** Last row of a feed that is booked, -1 for none. */
  bookedRow(source: string): number;
}

/** The replay barrier of this gateway, told by the order path that a session has ended a row. */
export interface BarrierEnds {
  /** @throws {QmtlError} SOURCE_NOT_FOUND; INVALID_FIELD for a row that the log does not have. */
  checkRow(source: string, row: number): Promise<void>;
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
