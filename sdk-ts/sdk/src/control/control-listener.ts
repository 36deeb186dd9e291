import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { TagMatches } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";

/** What the control session reports. Implemented by `GateMonitor`. */
export interface ControlListener {
  /** Phase, mode or state may have changed. */
  onGate(reason: string): void;
  onSwap(swap: ContextSwap): void;
  /** What matches some tags has changed. */
  onTags(matches: TagMatches): void;
  /** The stream stands for the first time, or again after a loss; one closed and opened again here is none. */
  onConnected(): void;
  /** The stream broke, or could not be opened; it is tried again. Not called for a stream closed here. */
  onLost(failure: unknown): void;
  /** The queues are of another store than before: what was read of them may be gone. */
  onQueuesRestored(): void;
  /** Replay feeds whose runner set does not have this session although it registered; empty when all do. */
  onUnregistered(sources: readonly string[]): void;
  /** A heartbeat was answered, or failed. */
  onHeartbeat(failure: unknown): void;
}
