import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { QueueUpdated } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";

/** What the control session tells. */
export interface ControlListener {
  /** Phase, mode or state may have changed. */
  onGate(reason: string): void;
  onSwap(swap: ContextSwap): void;
  /** The queues with some tags have changed. */
  onTags(update: QueueUpdated): void;
  /** The stream stands for the first time, or again after a loss; one closed and opened again here is none. */
  onConnected(): void;
  /** The stream broke, or could not be opened; it is tried again. Not told of a stream closed here. */
  onLost(failure: unknown): void;
  /** A heartbeat was answered, or failed. */
  onHeartbeat(failure: unknown): void;
}
