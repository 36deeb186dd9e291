import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GateChange, GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import type { HeartbeatReply } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import type { ExplainStrategyResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { RelayedHeartbeatSchema } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import type { SessionOrigin, SessionScope } from "@qmtl/service-kit";
import type { TopicName } from "@qmtl/service-kit/control";

/**
 * The gate of each world as this gateway heard it last: revisions in order, without gaps. The sessions adopt it each in
 * its own time. Implemented by `GateBook`.
 */
export interface GateView {
  /** State heard last; undefined while nothing is known, which means shut. */
  state(worldId: string): GateState | undefined;
  /** Loads a world's gate if it is not known yet. Throws WORLD_NOT_FOUND, PEER_UNAVAILABLE. */
  ensure(worldId: string): Promise<GateState>;
  /** Forgets a world that was deleted; it is loaded again when it is asked for. */
  forget(worldId: string): void;
  /** Calls back after each revision, in order. Returns the unsubscribe function. */
  onHeard(listener: GateChangeListener): () => void;
}

/** Called with each state that was heard, and what changed; "snapshot" for a state that was read, not announced. */
export type GateChangeListener = (
  worldId: string,
  state: GateState,
  change: GateChange | "snapshot",
) => void;

/** A heartbeat with the claim that a gateway makes of its ticket. */
export type ClaimedHeartbeat = MessageInitShape<typeof RelayedHeartbeatSchema>;

/**
 * Relays heartbeats to WorldService, batched for at most 50 ms; never answers by itself. Implemented by
 * `BatchedLeaseRelay`.
 */
export interface LeaseRelay {
  /** Throws PEER_UNAVAILABLE when WorldService does not answer, HALTED while a halt of scope `all` is in force. */
  renew(heartbeat: ClaimedHeartbeat): Promise<HeartbeatReply>;
  /** While true, nothing is relayed, so the gate of every session of this gateway shuts within one lease. */
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

/** The rate of an instrument's funding in one row of a feed that is effective in the log; otherwise as `SourceBar`. */
export interface SourceRate {
  readonly source: string;
  readonly instrument: string;
  readonly row: number;
  readonly bucketEndMs: number;
  /** NaN: the row has none. */
  readonly rate: number;
}

/** What a row of a feed brings to the books. */
export type SourceValue = SourceBar | SourceRate;

/** The contents of a ticket. */
export interface TicketClaims extends SessionScope {
  readonly topics: readonly TopicName[];
  /** Where the session runs, as its client reports. @default not reported */
  readonly origin?: SessionOrigin;
  /** Name of the caller it was issued to; nobody else can use it. */
  readonly principal: string;
}

/** The order path as the feeds see it. Implemented by `OrderPath`. */
export interface SliceBookings {
  /**
   * Books bars and rates slice by slice, in order of time, each row once: fills at the opens, marks at the closes,
   * funding, returns; all that end together in one booking of each account. Resolves once they are durable.
   */
  onBars(values: readonly SourceValue[]): Promise<void>;
  /** A slice is booked: its rows count as booked, also those that have no bar. */
  rowsPassed(rows: readonly EndedRow[]): void;
  /** The last booked row of a feed, -1 for none. */
  bookedRow(source: string): number;
  /**
   * Takes the targets of calls that end one slice, in the order of world, strategy and instrument; unless the feeds go on
   * at once (`goesOn`), after the report of the slice's returns was answered. The calls then have their verdicts.
   */
  takeSlice(calls: readonly SliceCall[], goesOn: boolean): Promise<void>;
  /** Whether the returns of all rows of a feed that are booked were reported, and that was answered. */
  isReported(source: string): boolean;
  /** Resolves once the returns of everything that is booked now were answered, after 2 s at the latest. */
  reported(): Promise<void>;
  /** What joins a world's feeds to others; undefined while the world cannot be read. */
  usesOf(worldId: string): Promise<WorldUses | undefined>;
  /** The accounts that worlds trade on, as they are now. */
  sharing(worldIds: readonly string[]): SharedAccounts;
}

/** The accounts of some worlds. */
export interface SharedAccounts {
  /** Whether all of them are known here, hold nothing, and have no working order; looks at every book. */
  isIdle(): boolean;
  /** These worlds and all others that trade on their accounts. */
  readonly worldIds: readonly string[];
}

/** What a world uses beside the feeds that its strategies read. */
export interface WorldUses {
  /** Its account; undefined when it has none here. */
  readonly accountId: string | undefined;
  /** Its own feed, and those that mark or fund an instrument of its account. */
  readonly sources: readonly string[];
}

/** A row of a feed that a runner has ended. */
export interface EndedRow {
  readonly source: string;
  readonly row: number;
}

/** A call that ends rows, as the barrier holds it until the targets of their slice are taken. */
export interface SliceCall {
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategies: readonly string[];
  readonly ends: readonly EndedRow[];
  /** It was sent under an order lease. */
  readonly isArmed: boolean;
  /** Fence of the gate under which it was sent. */
  readonly fence: number;
  /**
   * Some of its targets were refused although its sender's gate let them out: the gate of the order path is a moment
   * behind, or that of the sender is. It states them again soon. False until it is taken, and for a gate that stays shut
   * until an operator opens it.
   */
  readonly isRefusedForNow: boolean;
  /** Refuses all of its targets: its rows have ended. */
  refuse(reason: string): void;
  /** Takes the answer of an earlier call if it ends the same rows with the same targets; false if it does not. */
  answerAs(taken: SliceCall): boolean;
}

/**
 * The replay barrier as the order path sees it: receives the rows that sessions have ended. Implemented by
 * `ReplayFeeds`.
 */
export interface BarrierEnds {
  /** @throws {QmtlError} SOURCE_NOT_FOUND; INVALID_FIELD for a row that the log does not have. */
  checkRow(source: string, row: number): Promise<void>;
  /** Whether rows of a feed are held at a barrier. */
  isReplayed(source: string): boolean;
  /** The feeds that move with a feed, itself included. */
  timelineOf(source: string): readonly string[];
  /**
   * The time up to which buckets have closed in the timeline of a feed, milliseconds: also by rows of feeds that
   * nothing is booked from. −∞ before its first slice, and for a feed that is not replayed.
   */
  closedMs(source: string): number;
  /**
   * Holds a call until its slice has ended and its targets are taken, at most `waitMs`. A call whose rows have ended
   * changes nothing: its targets are refused.
   *
   * @throws {QmtlError} BARRIER_HELD, with what it waits for.
   */
  end(call: SliceCall, waitMs: number): Promise<void>;
  /**
   * What has to be set for rows of a feed to be booked; undefined when they can be, or no graph that reads it is known.
   */
  whyUnbooked(source: string): string | undefined;
}

/** Publishes stored control events. Call it once events wait in the outbox. */
export interface ControlOutbox {
  poke(): void;
  /** The same for events of submissions: those that come one soon after the other may be gathered for 25 ms. */
  pokeSoon(): void;
  /** The same for events of orders, of which there are many per second: they may be gathered for half a second. */
  pokeGathering(): void;
}

/** A session that is alive, and the strategies that its newest ticket covers. */
export type RunningSession = Pick<SessionScope, "sessionId" | "strategyIds">;

/** Learns of what runs, and what is bound. Implemented by `SignalGaps`. */
export interface RunListener {
  /** A session sent a heartbeat. */
  heard(session: RunningSession): void;
  /** A session ends, or was dropped from its feeds. */
  ended(sessionId: string): void;
  /** A strategy was perhaps bound to a world, or removed from it. */
  bindingsChanged(worldId: string): void;
}

/** What the order path knows of strategies. Implemented by `StrategyOrderReader`. */
export interface StrategyOrders {
  /** Throws WORLD_NOT_FOUND; PEER_UNAVAILABLE when WorldService does not answer and the world was never read here. */
  read(worldId: string, strategyId: string): Promise<ExplainedOrders>;
}

/** The orders of one strategy in one world, for ExplainStrategy. */
export interface ExplainedOrders {
  /** The fields of the response that are about orders. */
  readonly fields: Pick<
    MessageInitShape<typeof ExplainStrategyResponseSchema>,
    | "halts"
    | "emitterSessionId"
    | "tier"
    | "capital"
    | "wantedOrders"
    | "sentOrders"
    | "signalGaps"
    | "shutWorld"
    | "ruin"
  >;
  /** Orders it wanted while its gate was shut. */
  readonly wantedOrders: number;
  /** Orders that were sent. */
  readonly sentOrders: number;
  /** An order of its world was written after its lease ended: the world's orders are shut until an operator acts. */
  readonly isShutByLateOrder: boolean;
  /** Halts in force that cover it, oldest first. */
  readonly halts: readonly {
    readonly haltId: string;
    readonly scope: "all" | "account" | "world" | "strategy";
    readonly target: string;
    readonly reason: string;
  }[];
  /** Its capital now, zero before it was given any; undefined when the world trades on no account here. */
  readonly capital: number | undefined;
  /** What a change of its world's gate asks for and cannot be done at the moment, for people; undefined for nothing. */
  readonly overdue: string | undefined;
  /**
   * When nothing was left of the account of its world, milliseconds, and its equity then; either is NaN while not known.
   * Undefined: it is not ruined.
   */
  readonly ruin: { readonly timeMs: number; readonly equity: number } | undefined;
  /** Its targets that have had no signal for long. */
  readonly signalGaps: readonly {
    readonly instrument: string;
    readonly buckets: number;
    /** The nearest source without a value; empty if all have one. */
    readonly source: string;
  }[];
}
