import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type OwnerFrame,
  RunnerService,
  type SliceEndSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import { stopwatchMs } from "./engine-stopwatch.ts";

/** Latencies in milliseconds of the orders that runners on one connection caused. */
export interface OrderTimes {
  /** From the bar as the runner is shown it, booked, to the broker's acceptance answered. */
  readonly barToAccepted: number[];
  /** From the target sent to the broker's acceptance answered: journal commit and broker commit. */
  readonly targetToAccepted: number[];
}

/** A connection of one runner that notes when bars come in and when its orders are accepted. */
export function timedConnection(
  connection: Connection,
  times: OrderTimes,
): Pick<Connection, "client"> {
  const client = <S extends DescService>(service: S): Client<S> => {
    const made = connection.client(service);
    if (service.typeName !== RunnerService.typeName) return made;
    return Object.assign(made, { attach: timing(connection.client(RunnerService), times) });
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

type Attach = Client<typeof RunnerService>["attach"];
type Frame = Parameters<Attach>[0] extends AsyncIterable<infer F> ? F : never;
type FrameEnd = Pick<MessageInitShape<typeof SliceEndSchema>, "number" | "update">;

function timing(inner: Client<typeof RunnerService>, times: OrderTimes): Attach {
  return (frames, options) => {
    const watch = new FrameWatch(times);
    return watch.received(inner.attach(watch.sent(frames), options));
  };
}

/** Times the slice ends of one stream. */
class FrameWatch {
  readonly #times: OrderTimes;
  readonly #arrivals = new BarArrivals();
  /** When the ends that are not answered were sent, by number. */
  readonly #sent = new Map<bigint, { readonly startMs: number; readonly cameMs?: number }>();

  constructor(times: OrderTimes) {
    this.#times = times;
  }

  sent(frames: Parameters<Attach>[0]): AsyncIterable<Frame> {
    return noting(frames, ({ body }) => {
      if (body?.case === "end") this.#ending(body.value);
    });
  }

  received(frames: AsyncIterable<OwnerFrame>): AsyncIterable<OwnerFrame> {
    return noting(frames, (frame) => this.#take(frame));
  }

  #ending({ number = 0n, update }: FrameEnd): void {
    const cameMs = this.#arrivals.take(Number(update?.ends?.[0]?.row ?? -1));
    const startMs = stopwatchMs();
    this.#sent.set(number, cameMs === undefined ? { startMs } : { startMs, cameMs });
  }

  #take({ body }: OwnerFrame): void {
    const nowMs = stopwatchMs();
    if (body.case === "slice") {
      for (const { body: record } of body.value.records)
        if (record.case === "rows") this.#arrivals.note(Number(record.value.row), nowMs);
    }
    if (body.case !== "taken") return;
    const { number, results } = body.value;
    const sent = this.#sent.get(number);
    this.#sent.delete(number);
    const orders = results.flatMap(({ clientOrderIds }) => clientOrderIds);
    if (sent === undefined || orders.length === 0) return;
    this.#times.targetToAccepted.push(nowMs - sent.startMs);
    if (sent.cameMs !== undefined) this.#times.barToAccepted.push(nowMs - sent.cameMs);
  }
}

/** The same items, noted as they pass: without a generator, which would cost more than what it notes. */
function noting<T>(items: AsyncIterable<T>, note: (item: T) => void): AsyncIterable<T> {
  const noted = (result: IteratorResult<T, unknown>): IteratorResult<T, void> => {
    if (result.done === true) return { done: true, value: undefined };
    note(result.value);
    return result;
  };
  const begin = (): AsyncIterator<T, void> => {
    const inner = items[Symbol.asyncIterator]();
    return {
      next: () => inner.next().then(noted),
      return: async () => {
        await inner.return?.();
        return { done: true, value: undefined };
      },
    };
  };
  return { [Symbol.asyncIterator]: begin };
}
