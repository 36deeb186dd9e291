import { create, toBinary } from "@bufbuild/protobuf";
import type { ControlEvent } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { EncodedMessage } from "@qmtl/service-kit";

const cache = new WeakMap<ControlEvent, Map<number, EncodedMessage>>();

/** An event as one message of the control stream in a schema version: encoded once, then handed to every subscriber. */
export function encodeEvent(event: ControlEvent, version: number): EncodedMessage {
  let versions = cache.get(event);
  if (versions === undefined) {
    versions = new Map();
    cache.set(event, versions);
  }
  let encoded = versions.get(version);
  if (encoded === undefined) {
    const schemaVersion = { min: 1, max: 1, version };
    const message = create(SubscribeResponseSchema, { schemaVersion, event });
    encoded = new EncodedMessage(toBinary(SubscribeResponseSchema, message));
    versions.set(version, encoded);
  }
  return encoded;
}

/** True for an event that only takes permissions away: it overtakes others in buffers. */
export function isRestrictive(event: ControlEvent): boolean {
  const { payload } = event;
  if (payload.case === "gateEvent") return payload.value.restrictive;
  return payload.case === "haltChanged" && payload.value.halted;
}
