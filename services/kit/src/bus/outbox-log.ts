import { randomInt } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock } from "../clock.ts";
import { type Db, quotedSchema } from "../db/db.ts";
import { applyMigrations, type Migration } from "../db/migrate.ts";
import type { Logger } from "../logger.ts";
import { EmbeddedLog } from "./embedded-log.ts";
import type { OutboxMove, OutboxRange, OutgoingEvent } from "./event-bus.ts";
import type { EventSource, WatchedEvents, WatchedRange } from "./event-source.ts";
import { FollowedLog } from "./followed-log.ts";

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: "outbox-log",
    sql: `create table {{schema}}.log (
        only_row boolean primary key default true check (only_row),
        log_id integer not null,
        trimmed_to bigint not null default 0);
      create table {{schema}}.group_cursor (
        group_id text not null, source text not null, topics text not null, cursor text not null,
        primary key (group_id, source, topics));`,
  },
];

/** Log numbers fit a signed 32-bit integer, since they are stored as partitions. */
const LOG_ID_MAX = 2 ** 31 - 1;

interface OutboxLogOptions {
  readonly db: Db;
  readonly retentionEventsMax: number;
  readonly pollMs: number;
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * Events that a service has published, kept in its own database and followed by cursor: by the service itself, and by
 * others over gRPC. A cursor names the log and a position in it, so that a cursor from before the log was created again
 * is recognised.
 */
export class OutboxLog implements EventSource {
  readonly name = "own";
  readonly #db: Db;
  readonly #schema: string;
  readonly #log: EmbeddedLog;
  readonly #followed: FollowedLog;
  readonly #logId: number;

  private constructor(log: EmbeddedLog, logId: number, options: OutboxLogOptions) {
    this.#db = options.db;
    this.#schema = quotedSchema(options.db.schema);
    this.#log = log;
    this.#logId = logId;
    this.#followed = new FollowedLog(log, {
      ...options,
      beforeTrim: (position) => this.#noteTrim(position),
    });
  }

  static async open(options: OutboxLogOptions): Promise<OutboxLog> {
    const { db } = options;
    const log = await EmbeddedLog.open(db);
    await applyMigrations(db, "outbox_log", MIGRATIONS);
    const table = `${quotedSchema(db.schema)}.log`;
    await db.query(`insert into ${table} (log_id) values ($1) on conflict do nothing`, [
      randomInt(1, LOG_ID_MAX),
    ]);
    const [row] = await db.query<{ log_id: number }>(`select log_id from ${table}`);
    if (row === undefined) throw new Error("a row that was just made is not there");
    return new OutboxLog(log, row.log_id, options);
  }

  addTopics(topics: readonly string[]): Promise<void> {
    return this.#log.addTopics(topics);
  }

  /** Appends in order, all or none. @throws {BusError} UNKNOWN_TOPIC */
  append(events: readonly OutgoingEvent[]): Promise<void> {
    return this.#followed.append(events);
  }

  /** As `FollowedLog.move`. @throws {BusError} UNKNOWN_TOPIC */
  move(range: OutboxRange): Promise<OutboxMove> {
    return this.#followed.move(range);
  }

  async *watch(range: WatchedRange, signal: AbortSignal): AsyncGenerator<WatchedEvents> {
    let last = await this.#startOf(range);
    yield this.#toWatched([], last);
    const positions = new Map(range.topics.map((topic) => [topic, last]));
    for await (const events of this.#followed.batches(positions, signal)) {
      // Checked after reading: what was deleted before it could be read is noted by then.
      if ((await this.#trimmedTo()) > last) throw trimmed("was not read before it was deleted");
      last = events.at(-1)?.position ?? last;
      yield this.#toWatched(events, last);
    }
  }

  close(): void {}

  /** Cursor of a group in a source; undefined before it has read anything from it. */
  async groupCursor(groupId: string, source: string, topics: string): Promise<string | undefined> {
    const [row] = await this.#db.query<{ cursor: string }>(
      `select cursor from ${this.#schema}.group_cursor
       where group_id = $1 and source = $2 and topics = $3`,
      [groupId, source, topics],
    );
    return row?.cursor;
  }

  async saveGroupCursor(
    groupId: string,
    source: string,
    topics: string,
    cursor: string,
  ): Promise<void> {
    await this.#db.query(
      `insert into ${this.#schema}.group_cursor (group_id, source, topics, cursor)
       values ($1, $2, $3, $4)
       on conflict (group_id, source, topics) do update set cursor = excluded.cursor`,
      [groupId, source, topics, cursor],
    );
  }

  #toWatched(events: WatchedEvents["events"], position: number): WatchedEvents {
    const logId = this.#logId;
    return {
      logId,
      events: events.map((event) => ({ ...event, partition: logId })),
      cursor: `${logId}.${position}`,
    };
  }

  async #startOf({ cursor, fromBeginning }: WatchedRange): Promise<number> {
    if (cursor === undefined) return fromBeginning ? this.#trimmedTo() : this.#log.newest();
    const [, logId, position] = /^(\d{1,10})\.(\d{1,16})$/.exec(cursor) ?? [];
    if (logId === undefined || position === undefined) {
      const fields = [{ field: "cursor", description: "does not come from an answer" }];
      throw new QmtlError("INVALID_FIELD", "the cursor cannot be read", { fields });
    }
    if (Number(logId) !== this.#logId) throw trimmed("is of another log than this one");
    const start = Number(position);
    if (start < (await this.#trimmedTo())) throw trimmed("is older than the oldest event kept");
    if (start > (await this.#log.newest())) throw trimmed("is newer than the newest event");
    return start;
  }

  async #trimmedTo(): Promise<number> {
    const [row] = await this.#db.query<{ trimmed_to: number }>(
      `select trimmed_to from ${this.#schema}.log`,
    );
    return row?.trimmed_to ?? 0;
  }

  async #noteTrim(position: number): Promise<void> {
    await this.#db.query(
      `update ${this.#schema}.log set trimmed_to = greatest(trimmed_to, $1::bigint)`,
      [position],
    );
  }
}

function trimmed(why: string): QmtlError {
  return new QmtlError(
    "TRIMMED",
    `the cursor to continue from ${why}; start again with the oldest event`,
  );
}
