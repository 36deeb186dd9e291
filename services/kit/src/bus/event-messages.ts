import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";

/** Type of a message of the bus that holds several control events: each one's length, then its bytes. */
const severalType = "control_events";
/**
 * Largest number of bytes of several events in one message. A log limits how many messages it keeps, not their size.
 */
const severalBytesMax = 8 * 1024;
/** Types of messages that may be joined with others of their key: no receiver waits for them in order to act. */
export const joinedTypes: readonly string[] = [severalType, "order_updated"];
const joined: ReadonlySet<string> = new Set(joinedTypes);

/** An encoded control event. */
export interface EncodedEvent {
  /** Name of its payload's field. */
  readonly type: string;
  readonly revision: number;
  readonly bytes: Uint8Array;
}

/** One or more events of one topic key on their way: a row of the outbox, a message of the bus. */
export interface EventMessage {
  readonly type: string;
  /** Of the newest event in it. */
  readonly revision: number;
  readonly payload: Uint8Array;
}

/** Packs the events of one topic key, in order, into as few messages as hold them. A single event is not wrapped. */
export function eventMessages(events: readonly EncodedEvent[]): EventMessage[] {
  const messages: EventMessage[] = [];
  for (let at = 0; at < events.length; ) {
    const from = at;
    for (let bytes = 0; at < events.length; at += 1) {
      bytes += events[at]!.bytes.length;
      if (at > from && bytes > severalBytesMax) break;
    }
    messages.push(messageOf(events.slice(from, at)));
  }
  return messages;
}

/** Joins messages of one key that may go together, in the place of the first. The order within a key is kept. */
export function joinMessages<
  M extends EventMessage & { readonly topic: string; readonly key: string },
>(messages: readonly M[]): M[] {
  const parts = new Map<M, M[]>();
  const open = new Map<string, { readonly first: M; bytes: number }>();
  for (const message of messages) {
    const key = `${message.topic} ${message.key}`;
    const { length } = message.payload;
    const before = joined.has(message.type) ? open.get(key) : undefined;
    if (before !== undefined && before.bytes + length <= severalBytesMax) {
      parts.get(before.first)!.push(message);
      before.bytes += length;
      continue;
    }
    parts.set(message, [message]);
    open.delete(key);
    if (joined.has(message.type)) open.set(key, { first: message, bytes: length });
  }
  return [...parts].map(([first, all]) => {
    if (all.length === 1) return first;
    const encoded = all.map(({ type, payload }) =>
      type === severalType ? payload : several([payload]),
    );
    return { ...all.at(-1)!, type: severalType, payload: Buffer.concat(encoded) };
  });
}

/** The events of a message of the bus, by its header `type`. @throws {Error} when the bytes cannot be decoded. */
export function eventsOf(type: string | undefined, payload: Uint8Array): ControlEvent[] {
  return encodedEventsOf(type, payload).map((bytes) => fromBinary(ControlEventSchema, bytes));
}

/** As `eventsOf`, each still encoded. @throws {Error} when the payload ends in the middle of one. */
export function encodedEventsOf(type: string | undefined, payload: Uint8Array): Uint8Array[] {
  if (type !== severalType) return [payload];
  const reader = new BinaryReader(payload);
  const events: Uint8Array[] = [];
  while (reader.pos < reader.len) events.push(reader.bytes());
  return events;
}

function messageOf(events: readonly EncodedEvent[]): EventMessage {
  const last = events.at(-1)!;
  if (events.length === 1) return { type: last.type, revision: last.revision, payload: last.bytes };
  const payload = several(events.map(({ bytes }) => bytes));
  return { type: severalType, revision: last.revision, payload };
}

function several(events: readonly Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const bytes of events) writer.bytes(bytes);
  return writer.finish();
}
