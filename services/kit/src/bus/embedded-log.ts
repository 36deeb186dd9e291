import { type Db, quotedSchema, type SqlParam } from "../db/db.ts";
import { ConstraintViolation } from "../db/db-errors.ts";
import { applyMigrations, type Migration } from "../db/migrate.ts";
import {
  BusError,
  type BusEvent,
  type OutboxRange,
  type OutgoingEvent,
  type WaitingEvent,
} from "./event-bus.ts";

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: "event",
    sql: `create table {{schema}}.topic (name text primary key);
      create table {{schema}}.event (
        position bigint generated always as identity primary key,
        topic text not null references {{schema}}.topic (name),
        key text not null,
        payload bytea not null,
        headers jsonb not null,
        published_at timestamptz not null default now());
      create index event_by_topic on {{schema}}.event (topic, position);
      create table {{schema}}.group_position (
        group_id text not null, topic text not null, position bigint not null,
        primary key (group_id, topic));`,
  },
];
/** Held while appending, so that positions are given in the order in which they commit. */
const APPEND_LOCK = 7_160_102;

type EventRow = Omit<BusEvent, "partition">;

/** A waiting event, with its position once it is moved. */
interface MovedRow extends WaitingEvent {
  readonly position: number | null;
  readonly is_relay: boolean;
}

/** The headers of an event that comes from an outbox. */
export function outboxHeaders(schema: string, { id, type, revision }: WaitingEvent) {
  return { type, revision: String(revision), "outbox-id": `${schema}:${id}` };
}

/** The append log of the embedded bus: the tables of schema `bus`. */
export class EmbeddedLog {
  readonly #db: Db;
  readonly #schema: string;

  private constructor(db: Db) {
    this.#db = db;
    this.#schema = `"${db.schema}"`;
  }

  static async open(db: Db): Promise<EmbeddedLog> {
    await applyMigrations(db, "bus", MIGRATIONS);
    return new EmbeddedLog(db);
  }

  async addTopics(topics: readonly string[]): Promise<void> {
    await this.#db.query(
      `insert into ${this.#schema}.topic (name) select unnest($1::text[]) on conflict do nothing`,
      [topics],
    );
  }

  /** Appends in order, all or none. Returns their positions, increasing. @throws {BusError} UNKNOWN_TOPIC */
  async append(events: readonly OutgoingEvent[]): Promise<number[]> {
    try {
      const rows = await this.#db.query<{ position: number }>(
        `with locked as materialized (select 1 from pg_advisory_xact_lock(${APPEND_LOCK}))
         insert into ${this.#schema}.event (topic, key, payload, headers)
         select topic, key, payload, headers
         from locked, unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[])
           with ordinality as e (topic, key, payload, headers, n)
         order by n
         returning position`,
        [
          events.map((event) => event.topic),
          events.map((event) => event.key),
          events.map((event) => event.payload),
          events.map((event) => JSON.stringify(event.headers ?? {})),
        ],
      );
      return rows.map(({ position }) => position).sort((a, b) => a - b);
    } catch (cause) {
      throw appendFailure(cause);
    }
  }

  /**
   * Appends the oldest events that wait in an outbox of the same database, and marks them as sent: all or none. Returns
   * them, with their positions if they were appended.
   *
   * @throws {BusError} UNKNOWN_TOPIC
   */
  async move({ schema, countMax, lease, keptTypes }: OutboxRange): Promise<MovedRow[]> {
    const outbox = quotedSchema(schema);
    const params: SqlParam[] = [countMax, keptTypes, schema];
    let isRelay = "true";
    if (lease !== undefined) {
      params.push(lease.ownerId, lease.leftMs);
      isRelay = `exists (select from ${outbox}.outbox_relay
        where owner = $4 and until > now() + $5 * interval '1 millisecond')`;
    }
    try {
      // The rows are those of the update: one that another process marked meanwhile is not appended again.
      return await this.#db.query<MovedRow>(
        `with next as materialized (
           select id, topic, key, type, payload, revision from ${outbox}.outbox
           where sent_at is null order by id limit $1),
         relay as materialized (select ${isRelay} as is_held),
         locked as materialized (
           select pg_advisory_xact_lock(${APPEND_LOCK}) from relay
           where is_held and exists (select from next)
             and not exists (select from next where type = any($2::text[]))),
         sent as (
           update ${outbox}.outbox o set sent_at = now() from locked
           where o.id in (select id from next) and o.sent_at is null
           returning o.id, o.topic, o.key, o.type, o.payload, o.revision),
         moved as (
           insert into ${this.#schema}.event (topic, key, payload, headers)
           select topic, key, payload, jsonb_build_object(
             'type', type, 'revision', revision::text, 'outbox-id', $3::text || ':' || id)
           from sent order by id
           returning position, headers ->> 'outbox-id' as outbox_id)
         select n.id, n.topic, n.key, n.type, n.payload, n.revision, m.position, r.is_held as is_relay
         from next n cross join relay r left join moved m on m.outbox_id = $3::text || ':' || n.id
         order by n.id`,
        params,
      );
    } catch (cause) {
      throw appendFailure(cause);
    }
  }

  /**
   * Events after each topic's position, in order: at most `countMax`, and at most `bytesMax` of payload unless the
   * first event alone is larger.
   */
  async read(
    positions: ReadonlyMap<string, number>,
    countMax: number,
    bytesMax: number,
  ): Promise<BusEvent[]> {
    const rows = await this.#db.query<EventRow>(
      `select topic, key, payload, headers, position from (
         select *, sum(octet_length(payload)) over (order by position) as bytes from (
           select e.topic, e.key, e.payload, e.headers, e.position
           from unnest($1::text[], $2::bigint[]) as at (topic, position)
           join ${this.#schema}.event e on e.topic = at.topic and e.position > at.position
           order by e.position limit $3) as counted) as summed
       where bytes <= $4 or bytes = octet_length(payload)
       order by position`,
      [[...positions.keys()], [...positions.values()], countMax, bytesMax],
    );
    return rows.map((row) => ({ ...row, partition: 0 }));
  }

  /** Newest position of all topics; 0 when nothing was ever published. Trimming does not lower it. */
  async newest(): Promise<number> {
    const [row] = await this.#db.query<{ newest: number }>(
      `select coalesce(max(position), 0) as newest from ${this.#schema}.event`,
    );
    return row?.newest ?? 0;
  }

  /** The group's positions; topics new to it begin at `start`, which is stored. */
  async joinGroup(
    groupId: string,
    topics: readonly string[],
    start: number,
  ): Promise<Map<string, number>> {
    await this.#db.query(
      `insert into ${this.#schema}.group_position (group_id, topic, position)
       select $1, topic, $3 from unnest($2::text[]) as topic on conflict do nothing`,
      [groupId, topics, start],
    );
    const rows = await this.#db.query<{ topic: string; position: number }>(
      `select topic, position from ${this.#schema}.group_position
       where group_id = $1 and topic = any($2::text[])`,
      [groupId, topics],
    );
    return new Map(rows.map(({ topic, position }) => [topic, position]));
  }

  async saveGroup(groupId: string, positions: ReadonlyMap<string, number>): Promise<void> {
    await this.#db.query(
      `update ${this.#schema}.group_position g set position = greatest(g.position, at.position)
       from unnest($2::text[], $3::bigint[]) as at (topic, position)
       where g.group_id = $1 and g.topic = at.topic`,
      [groupId, [...positions.keys()], [...positions.values()]],
    );
  }

  /** Deletes events up to `position`. The caller must keep the newest event, which `newest` goes by. */
  async trim(position: number): Promise<void> {
    await this.#db.query(`delete from ${this.#schema}.event where position <= $1`, [position]);
  }
}

function appendFailure(cause: unknown): unknown {
  if (!(cause instanceof ConstraintViolation)) return cause;
  return new BusError("UNKNOWN_TOPIC", "a topic was not made with ensureTopics", cause);
}
