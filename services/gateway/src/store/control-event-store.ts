import type { Db } from "@qmtl/service-kit/db";

/** A message of the bus with its position there. */
export interface StoredMessage {
  readonly partition: number;
  readonly position: number;
  readonly topicKey: string;
  /** How the payload is to be read. */
  readonly type: string;
  /** Events in it. */
  readonly count: number;
  readonly payload: Uint8Array;
}

/** Where the control events of ListEvents are stored. */
export interface EventStore {
  /** Newest position stored, per partition of the bus. */
  newest(): Promise<Map<number, number>>;
  /** Adds messages in order, all or none; those that are stored already are left out. */
  append(messages: readonly StoredMessage[]): Promise<void>;
  /**
   * Messages with events after the first `taken` of message `id`, of one topic key or of all when it is empty, oldest
   * first; no more of them than `limit` events need.
   */
  read(
    topicKey: string,
    id: number,
    taken: number,
    limit: number,
  ): Promise<(Pick<StoredMessage, "type" | "payload"> & { readonly id: number })[]>;
  /** Deletes all but about the newest `count`. */
  keepNewest(count: number): Promise<void>;
}

/** Held while adding, so that ids increase in the order in which they become visible: a page misses none. */
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
    async append(messages) {
      await db.query(
        `with locked as materialized (select 1 from pg_advisory_xact_lock(${appendLock}))
         insert into gateway.control_event (partition, position, topic_key, type, count, payload)
         select partition, position, topic_key, type, count, payload
         from locked, unnest($1::int[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::bytea[])
           with ordinality as e (partition, position, topic_key, type, count, payload, n)
         order by n
         on conflict (partition, position) do nothing`,
        [
          messages.map(({ partition }) => partition),
          messages.map(({ position }) => position),
          messages.map(({ topicKey }) => topicKey),
          messages.map(({ type }) => type),
          messages.map(({ count }) => count),
          messages.map(({ payload }) => payload),
        ],
      );
    },
    read: (topicKey, id, taken, limit) =>
      db.query(
        `select id, type, payload from (
           select id, type, payload, sum(count) over (order by id) - count as before from (
             select id, type, payload, count - case when id = $1::bigint then $2::int else 0 end as count
             from gateway.control_event
             where id >= $1::bigint ${topicKey === "" ? "" : "and topic_key = $4"} order by id limit $3::int + 1) as next
           where count > 0) as counted
         where before < $3::int order by id`,
        [id, taken, limit, ...(topicKey === "" ? [] : [topicKey])],
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
