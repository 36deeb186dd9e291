import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { TagMatches } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";

/** What the control session reports. Implemented by `GateMonitor`. */
export interface ControlListener {
  /** The gate's phase, mode or state may have changed; `reason` is empty on a routine check. */
  onGate(reason: string): void;
  onSwap(swap: ContextSwap): void;
  /** The queues that match a tag query have changed. */
  onTags(matches: TagMatches): void;
  /**
   * The stream is open for the first time, or again after a loss. A stream that the session itself reopens is no loss.
   */
  onConnected(): void;
  /**
   * The stream broke or could not be opened; the session tries again. Not called for a stream that the session closed.
   */
  onLost(failure: unknown): void;
  /** The store of the queues was restored from a backup: records that were read before may be gone. */
  onQueuesRestored(): void;
  /** Replay feeds whose runner set lacks this session although it registered; empty if none does. */
  onUnregistered(sources: readonly string[]): void;
  /**
   * A heartbeat was answered (`failure` is undefined) or failed; an answer that the world is gone counts as a failure.
   */
  onHeartbeat(failure: unknown): void;
}
