import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { appendOutbox, type Tx } from "@qmtl/service-kit/db";

/** Topic all control events go to. */
export const controlTopic = "control";

type EventPayload = NonNullable<MessageInitShape<typeof ControlEventSchema>["payload"]>;

/** An event of one of the gateway's own topic keys: submissions, orders, halts. */
export interface OwnEvent {
  /** Such as "submission/sub-1". */
  readonly topicKey: string;
  /** Name of the payload, such as "submission_progress". */
  readonly type: string;
  readonly subject: string;
  readonly payload: EventPayload;
}

/** Adds an event to the outbox with the next revision of its key, in the transaction that changes the state. */
export async function appendControlEvent(tx: Tx, event: OwnEvent, nowMs: number): Promise<void> {
  const { topicKey, type, subject, payload } = event;
  const [row] = await tx.query<{ revision: number }>(
    `insert into gateway.topic_revision as t (topic_key, revision) values ($1, 1)
     on conflict (topic_key) do update set revision = t.revision + 1 returning revision`,
    [topicKey],
  );
  const revision = row!.revision;
  const message = create(ControlEventSchema, {
    schemaVersion: { version: 1 },
    id: `gateway/${topicKey}/${revision}`,
    source: "qmtl/gateway",
    type,
    subject,
    time: timestampFromMs(nowMs),
    topicKey,
    revision: BigInt(revision),
    payload,
  });
  await appendOutbox(tx, "gateway", {
    topic: controlTopic,
    key: topicKey,
    type,
    payload: toBinary(ControlEventSchema, message),
    revision,
  });
}
