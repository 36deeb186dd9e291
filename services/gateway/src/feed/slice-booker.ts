import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { CallPrincipal } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type {
  EndedRow,
  SharedAccounts,
  SliceBookings,
  SliceCall,
  SourceBar,
  WorldUses,
} from "../ports.ts";
import type { SourceKeys } from "./source-keys.ts";

interface SliceBookerPorts {
  readonly dag: Peer;
  readonly gateway: CallPrincipal;
  readonly keys: SourceKeys;
  /** The order path, once it is opened. */
  readonly orders: () => SliceBookings;
}

/** Hands slices to the order path: their bars, each row once, also across restarts, and then their targets. */
export class SliceBooker {
  readonly #ports: SliceBookerPorts;

  constructor(ports: SliceBookerPorts) {
    this.#ports = ports;
  }

  /** Books bars that are effective, slice by slice; rows that are booked already are left out. */
  async book(bars: readonly SourceBar[]): Promise<void> {
    const orders = this.#ports.orders();
    const fresh = bars.filter(({ source, row }) => row > orders.bookedRow(source));
    if (fresh.length > 0) await orders.onBars(fresh);
  }

  /** A slice is booked, with these rows. */
  passed(rows: readonly EndedRow[]): void {
    this.#ports.orders().rowsPassed(rows);
  }

  /** Takes the targets of the calls that end a slice. */
  take(calls: readonly SliceCall[]): Promise<void> {
    return this.#ports.orders().takeSlice(calls);
  }

  /** See `SliceBookings.usesOf`. */
  usesOf(worldId: string): Promise<WorldUses | undefined> {
    return this.#ports.orders().usesOf(worldId);
  }

  /** See `SliceBookings.sharing`. */
  sharing(worldIds: readonly string[]): SharedAccounts {
    return this.#ports.orders().sharing(worldIds);
  }

  /** The bars in the log that an earlier process did not book, of one feed. */
  async missed(source: string): Promise<SourceBar[]> {
    const { dag, gateway, keys, orders } = this.#ports;
    const own = keys.booked(source);
    if (own.length === 0) return [];
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
    return missed;
  }

  /** Whether a row is booked. */
  isBooked(source: string, row: number): boolean {
    return row >= 0 && row <= this.#ports.orders().bookedRow(source);
  }

  /** Whether rows of a feed have bars that must be booked: they mark an instrument, and a graph reads them as bars. */
  hasBars(source: string): boolean {
    return this.#ports.keys.booked(source).length > 0;
  }

  /** See `SourceKeys.whyUnbooked`. */
  whyUnbooked(source: string): string | undefined {
    return this.#ports.keys.whyUnbooked(source);
  }
}
