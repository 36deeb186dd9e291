import type { Db } from "@qmtl/service-kit/db";

/** An event of the bus with its place there. */
export interface StoredEvent {
  readonly partition: number;
  readonly position: number;
  readonly topicKey: string;
  /** An encoded ControlEvent. */
  readonly event: Uint8Array;
}

/** Where the control events of ListEvents lie. */
export interface EventStore {
  /** Newest position stored, per partition of the bus. */
  newest(): Promise<Map<number, number>>;
  /** Adds events in order, all or none; those that are there are left out. */
  append(events: readonly StoredEvent[]): Promise<void>;
  /** Events after an id, of one topic key or of all when it is empty, oldest first. */
  read(
    topicKey: string,
    afterId: number,
    limit: number,
  ): Promise<{ id: number; event: Uint8Array }[]>;
  /** Deletes all but about the newest `count`. */
  keepNewest(count: number): Promise<void>;
}

/** Held while adding, so that ids rise in the order in which they become visible: a page misses none. */
const appendLock = 7_160_103;

/** The store over table `gateway.control_event`. */
export function controlEventStore(db: Db): EventStore {
  return {
    async newest() {
      const rows = await db.query<{ partition: number; position: number }>(
        `select partition, max(position) as position from gateway.control_event group by partition`,
      );
      return new Map(rows.map(({ partition, position }) => [partition, position]));
    },
    async append(events) {
      await db.query(
        `with locked as materialized (select 1 from pg_advisory_xact_lock(${appendLock}))
         insert into gateway.control_event (partition, position, topic_key, event)
         select partition, position, topic_key, event
         from locked, unnest($1::int[], $2::bigint[], $3::text[], $4::bytea[])
           with ordinality as e (partition, position, topic_key, event, n)
         order by n
         on conflict (partition, position) do nothing`,
        [
          events.map(({ partition }) => partition),
          events.map(({ position }) => position),
          events.map(({ topicKey }) => topicKey),
          events.map(({ event }) => event),
        ],
      );
    },
    read: (topicKey, afterId, limit) =>
      topicKey === ""
        ? db.query(
            "select id, event from gateway.control_event where id > $1 order by id limit $2",
            [afterId, limit],
          )
        : db.query(
            `select id, event from gateway.control_event
             where topic_key = $1 and id > $2 order by id limit $3`,
            [topicKey, afterId, limit],
          ),
    async keepNewest(count) {
      await db.query(
        `delete from gateway.control_event
         where id <= (select coalesce(max(id), 0) - $1 from gateway.control_event)`,
        [count],
      );
    },
  };
}
