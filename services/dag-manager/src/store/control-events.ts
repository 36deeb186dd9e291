import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { payloadBytesMax } from "@qmtl/service-kit/bus";
import { appendOutbox, type Tx } from "@qmtl/service-kit/db";

/** Version control events of this service are written in. */
const eventVersion = 1;

type EventPayload = NonNullable<MessageInitShape<typeof ControlEventSchema>["payload"]>;

/**
 * Adds a control event to the outbox, with the next revision of its topic key. Commits, or not, with the
 * change it tells of.
 */
export async function appendControlEvent(
  tx: Tx,
  event: { readonly topicKey: string; readonly subject: string; readonly payload: EventPayload },
  nowMs: number,
): Promise<void> {
  const [row] = await tx.query<{ revision: number }>(
    `insert into dag.topic_revision (topic_key, revision)
     values ($1, 1 + coalesce((select floor from dag.restore_floor), 0))
     on conflict (topic_key) do update set revision = dag.topic_revision.revision + 1
     returning revision`,
    [event.topicKey],
  );
  const revision = row!.revision;
  const type = snakeCase(event.payload.case ?? "");
  const message = create(ControlEventSchema, {
    schemaVersion: { version: eventVersion },
    id: `dag/${event.topicKey}/${revision}`,
    source: "qmtl/dag-manager",
    type,
    subject: event.subject,
    time: timestampFromMs(nowMs),
    topicKey: event.topicKey,
    revision: BigInt(revision),
    payload: event.payload,
  });
  await appendOutbox(tx, "dag", {
    topic: "control",
    key: event.topicKey,
    type,
    payload: encoded(message),
    revision,
  });
}

/** The event's bytes; lists of queues and keys are left out of one that would be too large: readers ask for them. */
function encoded(message: ControlEvent): Uint8Array {
  const bytes = toBinary(ControlEventSchema, message);
  const { payload } = message;
  if (bytes.length <= payloadBytesMax || payload.case !== "queueUpdated") return bytes;
  payload.value.queues = [];
  if (payload.value.swap !== undefined) payload.value.swap.keys = [];
  return toBinary(ControlEventSchema, message);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
