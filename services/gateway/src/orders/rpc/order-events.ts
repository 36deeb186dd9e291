import { create } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { type StoredTopic, stateOrdersMax } from "@qmtl/service-kit/control";
import type { Queryable } from "@qmtl/service-kit/db";
import type { AccountSettings } from "../account/account-settings.ts";
import type { OrderEvents } from "../store/order-events.ts";
import { readWorkingOrders } from "../store/order-table.ts";
import { haltToProto, orderMessage } from "./order-messages.ts";

/** Control events of orders and halts. */
export const orderEvents: OrderEvents = {
  orderUpdated: (instruments, order) => ({
    case: "orderUpdated",
    value: orderMessage(instruments, order),
  }),
  haltsUpdated: (halts) => ({
    case: "haltsUpdated",
    value: { halts: halts.map((halt) => haltToProto(halt, true)) },
  }),
};

/**
 * The state of a world's topic ORDER: its working orders, as the store has them. Orders of accounts that the
 * configuration no longer names are shown in lots of 1.
 */
export async function readOrderTopic(
  db: Queryable,
  accounts: readonly AccountSettings[],
  worldId: string,
): Promise<StoredTopic> {
  const { storeEpoch, revision, orders } = await readWorkingOrders(db, worldId, stateOrdersMax + 1);
  const changes = orders.map((order) => {
    const instruments = accounts.find((one) => one.account === order.account)?.instruments ?? [];
    return create(ControlEventSchema, { payload: orderEvents.orderUpdated(instruments, order) });
  });
  return { storeEpoch, revision, changes };
}
