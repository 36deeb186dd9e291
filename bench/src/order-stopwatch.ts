import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import { stopwatchMs } from "./engine-stopwatch.ts";

/** Latencies in milliseconds of the orders that runners on one connection caused. */
export interface OrderTimes {
  /** From the bar effective in the log, as the runner reads it, to the broker's acceptance answered. */
  readonly barToAccepted: number[];
  /** From the target sent to the broker's acceptance answered: journal commit and broker commit. */
  readonly targetToAccepted: number[];
  /** From the end of a bar without an order, as the runner sends it, to the answer. */
  readonly endAnswered: number[];
}

/** A connection of one runner that notes when bars come in and when its orders are accepted. */
export function timedConnection(
  connection: Connection,
  times: OrderTimes,
): Pick<Connection, "client"> {
  /** Row → time of its arrival. */
  const barMs = new Map<number, number>();
  const client = <S extends DescService>(service: S): Client<S> => {
    const made = connection.client(service);
    if (service.typeName === QueueDataService.typeName)
      return Object.assign(made, { consume: noting(connection.client(QueueDataService), barMs) });
    if (service.typeName === OrderService.typeName)
      return Object.assign(made, {
        setTargets: timing(connection.client(OrderService), barMs, times),
      });
    return made;
  };
  return { client };
}

function noting(
  inner: Client<typeof QueueDataService>,
  barMs: Map<number, number>,
): Client<typeof QueueDataService>["consume"] {
  return async function* consume(...args) {
    for await (const message of inner.consume(...args)) {
      const now = stopwatchMs();
      // Followed nodes of a row come with or after its bar: the first one is the bar.
      for (const { body } of message.records) {
        if (body.case !== "rows") continue;
        const row = Number(body.value.row);
        if (!barMs.has(row)) barMs.set(row, now);
      }
      yield message;
    }
  };
}

function timing(
  inner: Client<typeof OrderService>,
  barMs: ReadonlyMap<number, number>,
  times: OrderTimes,
): Client<typeof OrderService>["setTargets"] {
  return async (...args) => {
    const start = stopwatchMs();
    const answer = await inner.setTargets(...args);
    const end = stopwatchMs();
    const orders = answer.results.flatMap(({ clientOrderIds }) => clientOrderIds);
    const came = barMs.get(Number(args[0].update?.ends?.[0]?.row ?? -1));
    if (orders.length === 0) times.endAnswered.push(end - start);
    else {
      times.targetToAccepted.push(end - start);
      if (came !== undefined) times.barToAccepted.push(end - came);
    }
    return answer;
  };
}
