import { toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { type EncodedEvent, eventMessages } from "../bus/event-messages.ts";
import { type Queryable, quotedSchema, type SqlParam } from "../db/index.ts";
import {
  busBytes,
  type ControlSchema,
  type CountedChange,
  changeEvent,
  controlTopic,
  type TopicCount,
} from "./control-events.ts";
import { isTopicChange, itemOf } from "./topic-state.ts";

/**
 * The latest revisions of topic keys (0 for a new one), for a process that alone writes them and counts on from there.
 */
export async function countTopics(
  db: Queryable,
  schema: ControlSchema,
  topicKeys: readonly string[],
): Promise<Map<string, TopicCount>> {
  const target = quotedSchema(schema);
  const rows = await db.query<{ topic_key: string; revision: number; store_epoch: number }>(
    `insert into ${target}.topic_revision as t (topic_key, revision) select k, 0 from unnest($1::text[]) as k
     on conflict (topic_key) do update set revision = t.revision
     returning topic_key, revision, coalesce((select store_epoch from ${target}.topic_store), 1) as store_epoch`,
    [[...topicKeys]],
  );
  return new Map(
    rows.map(({ topic_key, revision, store_epoch }) => [
      topic_key,
      { revision, storeEpoch: store_epoch },
    ]),
  );
}

/**
 * SQL that writes the events of counted changes, to run in one statement or transaction with the changes themselves.
 * The events are those that `appendControlEvent` would write one after the other, except that those of one key share
 * messages. The state of the keys is left to their writer, who makes it from its own tables. Changes of one key must
 * come in order. If the revision of a key is not the one that was counted from, because another process wrote it, a
 * division by zero undoes everything.
 */
export function countedChangeWrites(
  schema: ControlSchema,
  changes: readonly CountedChange[],
  nowMs: number,
): { readonly sql: string; readonly params: readonly SqlParam[] }[] {
  if (changes.length === 0) return [];
  const target = quotedSchema(schema);
  const byKey = new Map<string, EncodedEvent[]>();
  for (const change of changes) {
    const event = changeEvent(schema, change, nowMs);
    const { type, topicKey } = event;
    const bytes = busBytes(event);
    const events = byKey.get(topicKey);
    if (events === undefined) byKey.set(topicKey, [{ type, revision: change.revision, bytes }]);
    else events.push({ type, revision: change.revision, bytes });
  }
  const rows = [...byKey].flatMap(([key, events]) =>
    eventMessages(events).map(({ type, payload, revision }) => [key, type, payload, revision]),
  );
  return [
    // One statement per key finds it by the index; a list of keys would be joined, which costs twice as much.
    ...[...byKey].map(([key, events]) => ({
      sql: `update ${target}.topic_revision set revision = $3::bigint / (revision = $2::bigint)::int
        where topic_key = $1::text`,
      params: [key, events[0]!.revision - 1, events.at(-1)!.revision],
    })),
    {
      sql: `insert into ${target}.outbox (topic, key, type, payload, revision) values ${placesOf(rows.length)}`,
      params: [controlTopic, ...rows.flat()],
    },
  ];
}

/** Parts of a statement that writes changes with their events, and the state of their keys. */
interface ChangeParts {
  /** WITH queries. */
  readonly sql: string;
  readonly params: readonly SqlParam[];
}

/**
 * The events of counted changes and the state of their keys, as parts of a statement that makes the changes: what
 * `appendControlEvent` would write. Changes of one key must come in order, and be of different items. If the revision
 * of a key is not the one that was counted from, a division by zero undoes the whole statement.
 *
 * @param before number of parameters of the parts before them
 */
export function countedChangeParts(
  schema: ControlSchema,
  changes: readonly CountedChange[],
  nowMs: number,
  before: number,
): ChangeParts {
  const target = quotedSchema(schema);
  const events = changes.map((change) => {
    const event = changeEvent(schema, change, nowMs);
    return { event, bytes: toBinary(ControlEventSchema, event) };
  });
  const kept = events.flatMap(({ event, bytes }) => {
    const { payload, topicKey: key, revision } = event;
    return isTopicChange(payload) ? [{ ...itemOf(payload), key, revision, bytes }] : [];
  });
  const items = kept.filter(({ isOver }) => !isOver);
  const over = kept.filter(({ isOver }) => isOver);
  const [keys, revisions, types, payloads, itemKeys, names, firsts, states, overKeys, overNames] =
    Array.from({ length: 10 }, (_, place) => `$${before + place + 1}`);
  // The row of a key is locked before its events get ids.
  const sql = `revised as (
       insert into ${target}.topic_revision as t (topic_key, revision)
       select e.key, max(e.revision) from unnest(${keys}::text[], ${revisions}::bigint[]) as e (key, revision)
       group by e.key
       on conflict (topic_key) do update set revision = excluded.revision / (t.revision = excluded.revision - (
         select count(*) from unnest(${keys}::text[]) as e (key) where e.key = t.topic_key))::int
       returning topic_key),
     kept as (
       insert into ${target}.topic_item (topic_key, item, first_revision, event)
       select e.* from unnest(${itemKeys}::text[], ${names}::text[], ${firsts}::bigint[], ${states}::bytea[])
         as e (key, item, revision, event) where exists (select from revised r where r.topic_key = e.key)
       on conflict (topic_key, item) do update set event = excluded.event),
     over as (
       delete from ${target}.topic_item i
       using unnest(${overKeys}::text[], ${overNames}::text[]) as e (key, item)
       where i.topic_key = e.key and i.item = e.item),
     told as (
       insert into ${target}.outbox (topic, key, type, payload, revision)
       select '${controlTopic}', e.key, e.type, e.payload, e.revision
       from unnest(${keys}::text[], ${types}::text[], ${payloads}::bytea[], ${revisions}::bigint[])
         with ordinality as e (key, type, payload, revision, n) join revised r on r.topic_key = e.key
       order by e.n)`;
  const params = [
    events.map(({ event }) => event.topicKey),
    events.map(({ event }) => event.revision),
    events.map(({ event }) => event.type),
    events.map(({ event, bytes }) => busBytes(event, bytes)),
    items.map(({ key }) => key),
    items.map(({ name }) => name),
    items.map(({ revision }) => revision),
    items.map((item) => item.bytes),
    over.map(({ key }) => key),
    over.map(({ name }) => name),
  ];
  return { sql, params };
}

/** `($1, $2, …), …`: the topic, and the four other values of each row. */
function placesOf(rows: number): string {
  return Array.from({ length: rows }, (_, row) => {
    const [key, type, payload, revision] = [2, 3, 4, 5].map((place) => `$${4 * row + place}`);
    return `($1::text, ${key}::text, ${type}::text, ${payload}::bytea, ${revision}::bigint)`;
  }).join(", ");
}
