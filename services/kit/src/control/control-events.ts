import { create, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { GateEventSchema, GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { payloadBytesMax } from "../bus/event-bus.ts";
import { quotedSchema, type Tx } from "../db/index.ts";
import { appendOutbox, type OutboxEvent } from "../outbox/outbox.ts";
import { worldTopicKey } from "./topic-keys.ts";
import { isTopicChange, itemOf } from "./topic-state.ts";

/** Topic of the bus that all control events go to. */
export const controlTopic = "control";
/** Schema version of the control events. */
const eventVersion = 1;
/** Largest length of a halt's reason in an event that would otherwise be too large, characters. */
const reasonMax = 512;

/** Services that write control events, by the schema they write in. */
const sources = {
  gateway: "qmtl/gateway",
  dag: "qmtl/dag-manager",
  world: "qmtl/world-service",
} as const;
export type ControlSchema = keyof typeof sources;

type EventInit = Exclude<MessageInitShape<typeof ControlEventSchema>, Message>;
type PayloadInit = NonNullable<EventInit["payload"]>;

/** A change of a topic key as its writer states it. */
export interface ControlChange {
  readonly topicKey: string;
  /** Id of the world, strategy, order … it is about. */
  readonly subject: string;
  readonly payload: Exclude<PayloadInit, { case: "snapshot" | "progressMark" | "gateEvent" }>;
}

/** The latest revision of a topic key, and the store epoch in which it counts. */
export interface TopicCount {
  readonly revision: number;
  readonly storeEpoch: number;
}

/** A change whose revision its writer has counted: the next one of its key. */
export interface CountedChange extends ControlChange, TopicCount {}

/**
 * Writes a change of a topic key in the transaction that makes it: the key's next revision, the state of the key, and
 * the event in the outbox. The key is locked until the transaction ends. Call `relay.poke()` after the commit.
 */
export async function appendControlEvent(
  tx: Tx,
  schema: ControlSchema,
  change: ControlChange,
  nowMs: number,
): Promise<void> {
  const target = quotedSchema(schema);
  const { topicKey } = change;
  const [place] = await tx.query<{ revision: number; store_epoch: number }>(
    `insert into ${target}.topic_revision as t (topic_key, revision) values ($1, 1)
     on conflict (topic_key) do update set revision = t.revision + 1
     returning revision, coalesce((select store_epoch from ${target}.topic_store), 1) as store_epoch`,
    [topicKey],
  );
  const at = { revision: place!.revision, storeEpoch: place!.store_epoch };
  const event = changeEvent(schema, { ...change, ...at }, nowMs);
  const bytes = toBinary(ControlEventSchema, event);
  await writeItem(tx, target, event, bytes);
  await publish(tx, schema, event, bytes);
}

/**
 * Writes the event of a change whose revision is in a row that this transaction changed, and so has locked; the state
 * of the key is made from that row. Call `relay.poke()` after the commit.
 */
export async function appendCountedEvent(
  tx: Tx,
  schema: ControlSchema,
  change: CountedChange,
  nowMs: number,
): Promise<void> {
  await appendOutbox(tx, schema, countedEvent(schema, change, nowMs));
}

/**
 * The same event as a row of the outbox, for a statement that writes it with the row that counts its revision: after
 * that row was locked, and only if it was changed.
 */
export function countedEvent(
  schema: ControlSchema,
  change: CountedChange,
  nowMs: number,
): OutboxEvent {
  return outboxEvent(changeEvent(schema, change, nowMs));
}

/**
 * The event of a change, with shorter lists and texts where it would be too large for the bus; see {@link busBytes}.
 */
export function changeEvent(
  schema: ControlSchema,
  change: CountedChange,
  nowMs: number,
): ControlEvent {
  const { topicKey, subject, payload } = change;
  const place = { revision: BigInt(change.revision), storeEpoch: BigInt(change.storeEpoch) };
  return shortened(eventOf(schema, { topicKey, subject, ...place, nowMs }, payload));
}

/** Writes a change of a world's gate; the event takes revision, store epoch and state hash from the state. */
export async function appendGateEvent(
  tx: Tx,
  schema: ControlSchema,
  gateEvent: Exclude<MessageInitShape<typeof GateEventSchema>, Message> & { state: GateState },
  nowMs: number,
): Promise<void> {
  const { worldId, revision, storeEpoch, stateHash } = gateEvent.state;
  const topicKey = worldTopicKey(worldId, "gate");
  const at = { topicKey, subject: worldId, revision, storeEpoch, nowMs };
  const event = eventOf(schema, at, { case: "gateEvent", value: gateEvent });
  event.stateHash = stateHash;
  await publish(tx, schema, event);
}

/**
 * The bytes of an event as the bus carries it. One that is too large even with short lists and texts is sent without
 * its payload: it announces a new state, for which its readers ask. No change is refused for its size.
 */
export function busBytes(
  event: ControlEvent,
  bytes: Uint8Array = toBinary(ControlEventSchema, event),
): Uint8Array {
  if (bytes.length <= payloadBytesMax) return bytes;
  return toBinary(ControlEventSchema, { ...event, payload: { case: undefined } });
}

/** True for an event that was too large for the bus, but not for one with a payload of a later contract. */
export function isWithoutState({ payload, $unknown }: ControlEvent): boolean {
  return payload.case === undefined && ($unknown?.length ?? 0) === 0;
}

function eventOf(
  schema: ControlSchema,
  at: Required<Pick<EventInit, "topicKey" | "subject" | "revision" | "storeEpoch">> & {
    readonly nowMs: number;
  },
  payload: PayloadInit,
): ControlEvent {
  const { nowMs, ...place } = at;
  return create(ControlEventSchema, {
    ...place,
    schemaVersion: { version: eventVersion },
    id: `${at.topicKey}/${at.storeEpoch}/${at.revision}`,
    source: sources[schema],
    type: typeOf(payload.case ?? ""),
    time: timestampFromMs(nowMs),
    payload,
  });
}

async function writeItem(tx: Tx, target: string, event: ControlEvent, bytes: Uint8Array) {
  const { payload, topicKey, revision } = event;
  if (!isTopicChange(payload)) return;
  const { name, isOver } = itemOf(payload);
  if (isOver) {
    const sql = `delete from ${target}.topic_item where topic_key = $1 and item = $2`;
    await tx.query(sql, [topicKey, name]);
    return;
  }
  await tx.query(
    `insert into ${target}.topic_item (topic_key, item, first_revision, event) values ($1, $2, $3, $4)
     on conflict (topic_key, item) do update set event = excluded.event`,
    [topicKey, name, revision, bytes],
  );
}

async function publish(tx: Tx, schema: ControlSchema, event: ControlEvent, bytes?: Uint8Array) {
  await appendOutbox(tx, schema, outboxEvent(event, bytes));
}

function outboxEvent(event: ControlEvent, bytes?: Uint8Array): OutboxEvent {
  const { topicKey: key, type } = event;
  const payload = busBytes(event, bytes);
  return { topic: controlTopic, key, type, payload, revision: Number(event.revision) };
}

/**
 * Shortens an event that would be too large for the bus: the reasons of halts are cut, lists of queues or keys are cut
 * or emptied. Readers that need them ask for them; the state of the key says that it is truncated.
 */
function shortened(event: ControlEvent): ControlEvent {
  const { payload } = event;
  const isTooLarge = () => toBinary(ControlEventSchema, event).length > payloadBytesMax;
  if (payload.case === "tagQueryUpdated") {
    const { queues } = payload.value;
    while (queues.length > 0 && isTooLarge()) queues.length = Math.floor(queues.length / 2);
  } else if (payload.case === "queuesUpdated" && isTooLarge()) {
    if (payload.value.strategy !== undefined) payload.value.strategy.queues = [];
  } else if (payload.case === "swapUpdated" && isTooLarge()) {
    payload.value.keys = [];
  } else if (payload.case === "haltsUpdated") {
    for (let most = reasonMax; most > 1 && isTooLarge(); most /= 2) {
      for (const halt of payload.value.halts) halt.reason = halt.reason.slice(0, most);
    }
  }
  return event;
}

const typeNames = new Map<string, string>();

/** Type of an event: the name of its payload's field, as the contract spells it. */
function typeOf(payloadCase: string): string {
  let type = typeNames.get(payloadCase);
  if (type === undefined) {
    type = payloadCase.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    typeNames.set(payloadCase, type);
  }
  return type;
}
