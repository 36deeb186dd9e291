import { fileURLToPath } from "node:url";
import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  type Clock,
  type ClockTimer,
  cutPage,
  type Logger,
  makePageToken,
  readPageToken,
} from "@qmtl/service-kit";
import type { BusEvent } from "@qmtl/service-kit/bus";
import { eventsOf } from "@qmtl/service-kit/control";
import { applyMigrations, type Db, readMigrations } from "@qmtl/service-kit/db";
import {
  controlEventStore,
  type EventStore,
  type StoredMessage,
} from "../store/control-event-store.ts";

/** Largest number of messages of events kept over all topic keys; the oldest go first. */
const eventsMax = 200_000;
/** Events are dropped in steps, so that dropping costs little. */
const dropStep = 4_096;
/** Largest number of events that wait to be written; then reading the bus waits. */
const pendingMax = 8_192;
/** Largest number of events of one write. */
const writeMax = 1_000;
/** An event waits this long for others to be written with, milliseconds. */
const writeDelayMs = 1_000;

const migrations = fileURLToPath(new URL("../../migrations-events", import.meta.url));

interface EventLogPorts {
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Control events in the order in which they were read off the bus, for ListEvents. They are stored in the gateway's
 * database, so a restart loses none, and pages continue where they ended. Writing lags behind reading: what a crash
 * loses is still on the bus and is read again.
 */
export class EventLog {
  readonly #store: EventStore;
  readonly #ports: EventLogPorts;
  /** Newest position written, per partition of the bus. */
  readonly #written: Map<number, number>;
  #pending: StoredMessage[] = [];
  #timer: ClockTimer | undefined;
  #writing: Promise<void> | undefined;
  #untilDrop = 0;

  private constructor(store: EventStore, written: Map<number, number>, ports: EventLogPorts) {
    this.#store = store;
    this.#written = written;
    this.#ports = ports;
  }

  /** Makes its table, and reads how far it is written. */
  static async open(db: Db, ports: EventLogPorts): Promise<EventLog> {
    await applyMigrations(db, "control_event", await readMigrations(migrations));
    const store = controlEventStore(db);
    return new EventLog(store, await store.newest(), ports);
  }

  /** True when reading has to wait for `flush`. */
  get isFull(): boolean {
    return this.#pending.length >= pendingMax;
  }

  /** Takes a message of the bus with `count` events; one that is written already is left out. */
  add(message: Omit<BusEvent, "topic">, count: number): void {
    const { key: topicKey, partition, position, headers, payload } = message;
    if (position <= (this.#written.get(partition) ?? -1)) return;
    this.#written.set(partition, position);
    const type = headers["type"] ?? "";
    this.#pending.push({ partition, position, topicKey, type, count, payload });
    this.#timer ??= this.#ports.clock.setTimer(() => this.#writeLater(), writeDelayMs);
  }

  /** Writes what waits. Rejects when the database does not take it; it then continues to wait. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined || this.#pending.length > 0) {
      this.#writing ??= this.#write().finally(() => {
        this.#writing = undefined;
      });
      await this.#writing;
    }
  }

  /** Writes what waits, and stops. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.flush().catch((error: unknown) => {
      this.#ports.logger.warn("control events were not written; they are on the bus", { error });
    });
    this.#timer?.cancel();
  }

  /**
   * A page of one topic key, or of all when it is empty; the token is empty at the end.
   *
   * @throws {QmtlError} PAGE_TOKEN_INVALID.
   */
  async page(
    topicKey: string,
    size: number,
    token: string,
  ): Promise<{ events: ControlEvent[]; nextPageToken: string }> {
    const filters = { method: "GatewayService.ListEvents", topicKey };
    const nowMs = this.#ports.clock.nowMs();
    const [id, taken] = readPageToken(token, filters, ["number", "number"], nowMs) ?? [0, 0];
    await this.flush();
    const messages = await this.#store.read(topicKey, id, taken, size + 1);
    const rows = messages.flatMap((message) =>
      eventsOf(message.type, message.payload)
        .map((event, at) => ({ id: message.id, taken: at + 1, event }))
        .slice(message.id === id ? taken : 0),
    );
    const { page, nextPageToken } = cutPage(rows, size, (last) =>
      makePageToken(filters, [last.id, last.taken], nowMs),
    );
    return { events: page.map(({ event }) => event), nextPageToken };
  }

  #writeLater(): void {
    this.#timer = undefined;
    this.flush().catch((error: unknown) => {
      this.#ports.logger.warn("control events could not be written; trying again", { error });
      this.#timer ??= this.#ports.clock.setTimer(() => this.#writeLater(), writeDelayMs);
    });
  }

  async #write(): Promise<void> {
    const batch = this.#pending.slice(0, writeMax);
    await this.#store.append(batch);
    this.#pending = this.#pending.slice(batch.length);
    this.#untilDrop -= batch.length;
    if (this.#untilDrop > 0) return;
    this.#untilDrop = dropStep;
    await this.#store.keepNewest(eventsMax - dropStep);
  }
}
