import { create, toBinary } from "@bufbuild/protobuf";
import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { EncodedMessage } from "@qmtl/service-kit";

const cache = new WeakMap<ControlEvent, Map<number, EncodedMessage>>();

/** Versions of the control stream that this gateway speaks. */
const supported = { min: 1, max: 1 };

/** Whether an event can be written in a schema version: one that was written in a later one cannot. */
export function canEncode({ schemaVersion }: ControlEvent, version: number): boolean {
  return (schemaVersion?.version ?? 1) <= version;
}

/**
 * An event as one message of the control stream in a schema version: encoded once, then handed to every subscriber, but
 * for the message that tells how many were withheld before it.
 */
export function encodeEvent(event: ControlEvent, version: number, withheld = 0): EncodedMessage {
  if (withheld > 0) return encode(event, version, withheld);
  let versions = cache.get(event);
  if (versions === undefined) {
    versions = new Map();
    cache.set(event, versions);
  }
  let encoded = versions.get(version);
  if (encoded === undefined) {
    encoded = encode(event, version, 0);
    versions.set(version, encoded);
  }
  return encoded;
}

function encode(event: ControlEvent, version: number, withheld: number): EncodedMessage {
  const schemaVersion = { version, supported };
  const message = create(SubscribeResponseSchema, { schemaVersion, event, withheld });
  return new EncodedMessage(toBinary(SubscribeResponseSchema, message));
}

/** True for an event that only takes permissions away, or may: it overtakes those of other keys in buffers. */
export function isRestrictive({ payload }: ControlEvent): boolean {
  if (payload.case === "gateEvent") return payload.value.restrictive;
  return payload.case === "haltsUpdated";
}
