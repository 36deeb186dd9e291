import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { OfferedRow } from "@qmtl/core/queues";
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
import type { SourceKey } from "../store/source-key-store.ts";
import { rowOfRecord } from "./publish-plan.ts";
import type { SourceKeys } from "./source-keys.ts";

/** Rows of a feed that are in the log, and what they bring. */
export interface LoggedRows {
  /** The last of them; undefined for none. */
  readonly last: OfferedRow | undefined;
  readonly values: readonly SourceValue[];
}

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
    const missed: SourceValue[] = [];
    await this.#read(source, this.#ports.orders().bookedRow(source) + 1, (_, values) => {
      missed.push(...values);
    });
    return missed;
  }

  /** The rows after one in the queues that a feed is booked from. */
  async logged(source: string, afterRow: number): Promise<LoggedRows> {
    const found: SourceValue[] = [];
    let last: OfferedRow | undefined;
    await this.#read(source, afterRow + 1, (record, values) => {
      const rows = rowOfRecord(record);
      if (rows !== undefined && rows.toRow > (last?.toRow ?? afterRow)) last = rows;
      found.push(...values);
    });
    return { last, values: found.filter(({ row }) => row > afterRow) };
  }

  /** Queues of a feed. */
  queuesOf(source: string): string[] {
    return this.#ports.keys.ofSource(source).map(({ computeKey }) => computeKey);
  }

  /** Reads the queues that a feed is booked from, as far as they go now. */
  async #read(
    source: string,
    fromRow: number,
    take: (record: QueueRecord, values: readonly SourceValue[]) => void,
  ): Promise<void> {
    const { dag, gateway, keys } = this.#ports;
    const own = new Map(
      keys.booked(source).map((key): [string, SourceKey] => [key.computeKey, key]),
    );
    if (own.size === 0) return;
    const request = {
      keys: [...own.keys()].map((computeKey) => ({
        computeKey,
        position: { case: "fromRow" as const, value: BigInt(fromRow) },
      })),
      historyOnly: true,
    };
    const call = { principal: gateway, timeoutMs: 60_000 };
    for await (const { records } of dag.stream(QueueDataService.method.consume, request, call)) {
      for (const record of records) {
        const key = own.get(record.computeKey);
        if (key !== undefined) take(record, keys.valuesOf(key, record));
      }
    }
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
