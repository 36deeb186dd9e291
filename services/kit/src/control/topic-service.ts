import { fromBinary } from "@bufbuild/protobuf";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { TopicService } from "@qmtl/contracts/qmtl/control/v1/topic_service_pb";
import { type Queryable, quotedSchema } from "../db/index.ts";
import { type ServedService, serve } from "../handlers.ts";
import type { ControlSchema } from "./control-events.ts";

/** Bytes of events in one answer beyond which strategies come without their queues, so that the state is truncated. */
const listBytesMax = 8 * 1024 * 1024;

/** A topic key's state as its writer stores it. */
export interface StoredTopic {
  readonly storeEpoch: number;
  /** 0: the key has never changed. */
  readonly revision: number;
  /** The last change of each item of the state, in the order in which the items were first written. */
  readonly changes: readonly ControlEvent[];
}

/** Reads the state and the revision of a topic key in one statement. */
export async function readTopic(
  db: Queryable,
  schema: ControlSchema,
  topicKey: string,
): Promise<StoredTopic> {
  const target = quotedSchema(schema);
  const rows = await db.query<{
    store_epoch: number | null;
    revision: number | null;
    event: Uint8Array | null;
  }>(
    `select s.store_epoch, r.revision, i.event
     from (values ($1::text)) k (topic_key)
       left join ${target}.topic_store s on true
       left join ${target}.topic_revision r using (topic_key)
       left join ${target}.topic_item i using (topic_key)
     order by i.first_revision`,
    [topicKey],
  );
  const [first] = rows;
  let left = listBytesMax;
  const changes = rows.flatMap(({ event: bytes }) => {
    if (bytes === null) return [];
    const event = fromBinary(ControlEventSchema, bytes);
    left -= bytes.length;
    const { payload } = event;
    if (left < 0 && payload.case === "queuesUpdated" && payload.value.strategy !== undefined) {
      payload.value.strategy.queues = [];
    }
    return [event];
  });
  return { storeEpoch: first?.store_epoch ?? 1, revision: first?.revision ?? 0, changes };
}

/** TopicService over the topic keys a service writes. */
export function topicService(db: Queryable, schema: ControlSchema): ServedService {
  return serve(TopicService, {
    async getTopicState({ topicKey }) {
      const { storeEpoch, revision, changes } = await readTopic(db, schema, topicKey);
      return {
        storeEpoch: BigInt(storeEpoch),
        revision: BigInt(revision),
        changes: [...changes],
      };
    },
  });
}
