import type { InstrumentSpec } from "@qmtl/core/execution";
import type { ControlChange } from "@qmtl/service-kit/control";
import type { Halt } from "./halts.ts";
import type { StoredOrder } from "./order-table.ts";

/**
 * Control events of orders and halts; `orders/rpc` makes the messages. Implemented by `orderEvents` in
 * `orders/rpc/order-events.ts`.
 */
export interface OrderEvents {
  /** Topic ORDER: an order as it is now. An instrument that is not listed is reported in lots of 1. */
  orderUpdated(
    instruments: readonly InstrumentSpec[],
    order: Omit<StoredOrder, "position">,
  ): ControlChange["payload"];
  /** Topic HALT: all halts that are stored. */
  haltsUpdated(halts: readonly Halt[]): ControlChange["payload"];
}
