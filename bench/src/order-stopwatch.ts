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
}

/** A connection of one runner that notes when bars come in and when its orders are accepted. */
export function timedConnection(
  connection: Connection,
  times: OrderTimes,
): Pick<Connection, "client"> {
  const arrivals = new BarArrivals();
  const client = <S extends DescService>(service: S): Client<S> => {
    const made = connection.client(service);
    if (service.typeName === QueueDataService.typeName)
      return Object.assign(made, {
        consume: noting(connection.client(QueueDataService), arrivals),
      });
    if (service.typeName === OrderService.typeName)
      return Object.assign(made, {
        setTargets: timing(connection.client(OrderService), arrivals, times),
      });
    return made;
  };
  return { client };
}

/** When the bars came that are not ended yet. */
class BarArrivals {
  readonly #ms = new Map<number, number>();
  #ended = -1;

  /** Followed nodes of a row come with or after its bar: the first one is the bar. */
  note(row: number, nowMs: number): void {
    if (row > this.#ended && !this.#ms.has(row)) this.#ms.set(row, nowMs);
  }

  /** When the bar of a row came that is ended now; earlier ones are forgotten. */
  take(row: number): number | undefined {
    const came = this.#ms.get(row);
    this.#ended = Math.max(this.#ended, row);
    for (const known of this.#ms.keys()) if (known <= row) this.#ms.delete(known);
    return came;
  }
}

function noting(
  inner: Client<typeof QueueDataService>,
  arrivals: BarArrivals,
): Client<typeof QueueDataService>["consume"] {
  return async function* consume(...args) {
    for await (const message of inner.consume(...args)) {
      const now = stopwatchMs();
      for (const { body } of message.records) {
        if (body.case === "rows") arrivals.note(Number(body.value.row), now);
      }
      yield message;
    }
  };
}

function timing(
  inner: Client<typeof OrderService>,
  arrivals: BarArrivals,
  times: OrderTimes,
): Client<typeof OrderService>["setTargets"] {
  return async (...args) => {
    const start = stopwatchMs();
    const answer = await inner.setTargets(...args);
    const end = stopwatchMs();
    const orders = answer.results.flatMap(({ clientOrderIds }) => clientOrderIds);
    const came = arrivals.take(Number(args[0].update?.ends?.[0]?.row ?? -1));
    if (orders.length > 0) {
      times.targetToAccepted.push(end - start);
      if (came !== undefined) times.barToAccepted.push(end - came);
    }
    return answer;
  };
}
