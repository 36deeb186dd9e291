import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { payloadBytesMax } from "../bus/event-bus.ts";

/** Type of a message of the bus that holds several control events: each one's length, then its bytes. */
const severalType = "control_events";
/** Bytes of several events in one message at most. */
const severalBytesMax = payloadBytesMax / 2;

/** A control event as it is encoded. */
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

/** Events of one topic key, in order, in as few messages as hold them. One that is alone goes as it is. */
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

/** The events of a message of the bus, by its header `type`. @throws {Error} when the bytes are none. */
export function eventsOf(type: string | undefined, payload: Uint8Array): ControlEvent[] {
  if (type !== severalType) return [fromBinary(ControlEventSchema, payload)];
  const reader = new BinaryReader(payload);
  const events: ControlEvent[] = [];
  while (reader.pos < reader.len) events.push(fromBinary(ControlEventSchema, reader.bytes()));
  return events;
}

function messageOf(events: readonly EncodedEvent[]): EventMessage {
  const last = events.at(-1)!;
  if (events.length === 1) return { type: last.type, revision: last.revision, payload: last.bytes };
  const writer = new BinaryWriter();
  for (const { bytes } of events) writer.bytes(bytes);
  return { type: severalType, revision: last.revision, payload: writer.finish() };
}
