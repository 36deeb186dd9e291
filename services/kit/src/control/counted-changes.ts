import { toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { type Queryable, quotedSchema, type SqlParam } from "../db/index.ts";
import {
  type ControlSchema,
  type CountedChange,
  changeEvent,
  controlTopic,
  type TopicCount,
} from "./control-events.ts";

/** Where topic keys stand, for a process that alone writes them and counts on from there. */
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
 * What writes counted changes: parts for one statement, or for one transaction, together with what they tell of. They are
 * told as `appendControlEvent` would tell them one after the other; the state of their keys is left to their writer, who
 * makes it of its own tables. Changes of one key come in order. A division by zero undoes all of it when a key is not
 * where it was counted from: somebody else writes it.
 */
export function countedChangeWrites(
  schema: ControlSchema,
  changes: readonly CountedChange[],
  nowMs: number,
): { readonly sql: string; readonly params: readonly SqlParam[] }[] {
  if (changes.length === 0) return [];
  const target = quotedSchema(schema);
  const events = changes.map((change) => {
    const event = changeEvent(schema, change, nowMs);
    return { ...change, type: event.type, bytes: toBinary(ControlEventSchema, event) };
  });
  const places = new Map<string, { before: number; last: number }>();
  for (const { topicKey, revision } of events) {
    const before = places.get(topicKey)?.before ?? revision - 1;
    places.set(topicKey, { before, last: revision });
  }
  return [
    // A key in a statement of its own is found by its index; a list of them is joined, which costs twice as much.
    ...[...places].map(([key, { before, last }]) => ({
      sql: `update ${target}.topic_revision set revision = $3::bigint / (revision = $2::bigint)::int
        where topic_key = $1::text`,
      params: [key, before, last],
    })),
    {
      sql: `insert into ${target}.outbox (topic, key, type, payload, revision)
        select $1, key, type, payload, revision
        from unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[])
          with ordinality as u (key, type, payload, revision, place) order by place`,
      params: [
        controlTopic,
        events.map(({ topicKey }) => topicKey),
        events.map(({ type }) => type),
        events.map(({ bytes }) => bytes),
        events.map(({ revision }) => revision),
      ],
    },
  ];
}
