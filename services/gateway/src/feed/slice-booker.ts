import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { CallPrincipal } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type {
  EndedRow,
  SharedAccounts,
  SliceBookings,
  SliceCall,
  SourceValue,
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

/** Hands slices to the order path: their bars and rates, each row once, also across restarts, and then their targets. */
export class SliceBooker {
  readonly #ports: SliceBookerPorts;

  constructor(ports: SliceBookerPorts) {
    this.#ports = ports;
  }

  /** Books what rows that are effective bring, slice by slice; rows that are booked already are left out. */
  async book(values: readonly SourceValue[]): Promise<void> {
    const orders = this.#ports.orders();
    const fresh = values.filter(({ source, row }) => row > orders.bookedRow(source));
    if (fresh.length > 0) await orders.onBars(fresh);
  }

  /** A slice is booked, with these rows. */
  passed(rows: readonly EndedRow[]): void {
    this.#ports.orders().rowsPassed(rows);
  }

  /** Takes the targets of the calls that end a slice; see `SliceBookings.takeSlice`. */
  take(calls: readonly SliceCall[], goesOn: boolean): Promise<void> {
    return this.#ports.orders().takeSlice(calls, goesOn);
  }

  /** See `SliceBookings.isReported`. */
  isReported(source: string): boolean {
    return this.#ports.orders().isReported(source);
  }

  /** See `SliceBookings.usesOf`. */
  usesOf(worldId: string): Promise<WorldUses | undefined> {
    return this.#ports.orders().usesOf(worldId);
  }

  /** See `SliceBookings.sharing`. */
  sharing(worldIds: readonly string[]): SharedAccounts {
    return this.#ports.orders().sharing(worldIds);
  }

  /** What the rows of a feed bring that are in the log, and that an earlier process did not book. */
  async missed(source: string): Promise<SourceValue[]> {
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
    const missed: SourceValue[] = [];
    const call = { principal: gateway, timeoutMs: 60_000 };
    for await (const { records } of dag.stream(QueueDataService.method.consume, request, call)) {
      for (const record of records) {
        const key = own.find(({ computeKey }) => computeKey === record.computeKey);
        if (key !== undefined) missed.push(...keys.valuesOf(key, record));
      }
    }
    return missed;
  }

  /** Whether a row is booked. */
  isBooked(source: string, row: number): boolean {
    return row >= 0 && row <= this.#ports.orders().bookedRow(source);
  }

  /** Whether rows of a feed must be booked: they mark or fund an instrument, and a graph reads the columns for that. */
  mustBook(source: string): boolean {
    return this.#ports.keys.booked(source).length > 0;
  }

  /** See `SourceKeys.whyUnbooked`. */
  whyUnbooked(source: string): string | undefined {
    return this.#ports.keys.whyUnbooked(source);
  }
}
