import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { CallPrincipal } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type { BarBookings, SourceBar } from "../ports.ts";
import type { SourceKeys } from "./source-keys.ts";

/** Bars handed to the order path at once when many were missed. */
const batchMax = 500;

interface BarBookerPorts {
  readonly dag: Peer;
  readonly gateway: CallPrincipal;
  readonly keys: SourceKeys;
  /** The order path, once it is opened. */
  readonly orders: () => BarBookings;
}

/** Hands the bars of feeds to the order path: in row order, each row once, also across restarts. */
export class BarBooker {
  readonly #ports: BarBookerPorts;
  readonly #turns = new Map<string, Promise<void>>();

  constructor(ports: BarBookerPorts) {
    this.#ports = ports;
  }

  /** Books bars that are effective; rows that are booked already are left out. */
  book(source: string, bars: readonly SourceBar[]): Promise<void> {
    return this.#inTurn(source, () => this.#book(source, bars));
  }

  /** Books the rows of the log that an earlier process did not get to. */
  catchUp(source: string): Promise<void> {
    return this.#inTurn(source, async () => {
      const { dag, gateway, keys, orders } = this.#ports;
      const own = keys.booked(source);
      if (own.length === 0) return;
      const fromRow = BigInt(orders().bookedRow(source) + 1);
      const request = {
        keys: own.map(({ computeKey }) => ({
          computeKey,
          position: { case: "fromRow" as const, value: fromRow },
        })),
        historyOnly: true,
      };
      const missed: SourceBar[] = [];
      const call = { principal: gateway, timeoutMs: 60_000 };
      for await (const { records } of dag.stream(QueueDataService.method.consume, request, call)) {
        for (const record of records) {
          const key = own.find(({ computeKey }) => computeKey === record.computeKey);
          if (key !== undefined) missed.push(...keys.barsOf(key, record));
        }
      }
      missed.sort((a, b) => a.row - b.row);
      for (let at = 0; at < missed.length; ) {
        let end = Math.min(at + batchMax, missed.length);
        while (end < missed.length && missed[end]!.row === missed[end - 1]!.row) end += 1;
        await this.#book(source, missed.slice(at, end));
        at = end;
      }
    });
  }

  /** Whether a row is booked, or has no bars that could be. */
  isBooked(source: string, row: number): boolean {
    const { keys, orders } = this.#ports;
    const booked = orders().bookedRow(source);
    return row <= booked || booked < 0 || keys.booked(source).length === 0;
  }

  /** See `SourceKeys.whyUnbooked`. */
  whyUnbooked(source: string): string | undefined {
    return this.#ports.keys.whyUnbooked(source);
  }

  async #book(source: string, bars: readonly SourceBar[]): Promise<void> {
    const booked = this.#ports.orders().bookedRow(source);
    const fresh = bars.filter((bar) => bar.row > booked);
    if (fresh.length > 0) await this.#ports.orders().onBars(fresh);
  }

  #inTurn(source: string, work: () => Promise<void>): Promise<void> {
    const done = (this.#turns.get(source) ?? Promise.resolve()).catch(() => {}).then(work);
    this.#turns.set(source, done);
    return done;
  }
}
