import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ControlEvent,
  ControlEventSchema,
  type SnapshotSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";

/** The place of a topic key's state in its history. */
interface TopicPosition {
  readonly topicKey: string;
  readonly storeEpoch: bigint;
  /** 0: nothing has happened to the key. */
  readonly revision: bigint;
}

/** The state of a topic key as the first message of its stream. */
export function snapshotEvent(
  place: TopicPosition,
  value: MessageInitShape<typeof SnapshotSchema>,
  nowMs: number,
): ControlEvent {
  const { topicKey, storeEpoch, revision } = place;
  return create(ControlEventSchema, {
    ...place,
    schemaVersion: { version: 1 },
    id: `snapshot/${topicKey}/${storeEpoch}/${revision}`,
    source: "qmtl/gateway",
    type: "snapshot",
    subject: topicKey,
    time: timestampFromMs(nowMs),
    payload: { case: "snapshot", value },
  });
}

/** A gate's state as the first message of its topic. */
export function gateSnapshot(state: GateState, topicKey: string, nowMs: number): ControlEvent {
  const { storeEpoch, revision, stateHash } = state;
  const value = { state: { case: "gate" as const, value: state } };
  const event = snapshotEvent({ topicKey, storeEpoch, revision }, value, nowMs);
  event.stateHash = stateHash;
  return event;
}
