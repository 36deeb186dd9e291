import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import {
  type ControlEvent,
  ControlEventSchema,
  type QueueUpdated,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { blake3Hex, jcs } from "@qmtl/sdk/canonical";
import type { TopicWindow } from "./topic-window.ts";

/** The state of a topic key, and the kept events that must follow it. */
export interface TopicSnapshot {
  readonly event: ControlEvent;
  readonly revision: number;
  readonly following: readonly ControlEvent[];
}

/** A gate's state as the first message of its topic. */
export function gateSnapshot(state: GateState, topicKey: string, nowMs: number): TopicSnapshot {
  const { revision, stateHash } = state;
  const payload = { topicKey, revision, stateHash, gate: { state } };
  const event = snapshotEvent(topicKey, payload, nowMs);
  event.worldFence = state.fence;
  return { event, revision: Number(revision), following: [] };
}

/**
 * The state of any other topic key: its newest queues or policy. A change of context that is not decided is part of
 * the state: the snapshot then stands before it, and its events follow.
 */
export function windowSnapshot(window: TopicWindow, nowMs: number): TopicSnapshot {
  const open = firstOpenSwap(window.events);
  const revision = open === undefined ? window.last : open - 1;
  const newest = window.events.findLast((event) => Number(event.revision) <= revision);
  const payload = newest?.payload;
  const snapshot = {
    topicKey: window.key,
    revision: BigInt(revision),
    stateHash: windowHash(window.key, revision, newest?.id ?? ""),
    ...(payload?.case === "queueUpdated" ? { queues: payload.value } : {}),
    ...(payload?.case === "policyUpdated" ? { policy: payload.value } : {}),
  };
  const event = snapshotEvent(window.key, snapshot, nowMs);
  return { event, revision, following: window.after(revision) ?? [] };
}

/** Hash of a topic without a state of its own: over its key, revision and newest event. */
export function windowHash(topicKey: string, revision: number, eventId: string): string {
  return `blake3:${blake3Hex(jcs([topicKey, revision, eventId]))}`;
}

type SnapshotInit = Extract<
  NonNullable<Parameters<typeof create<typeof ControlEventSchema>>[1]>["payload"],
  { case: "snapshot" }
>["value"];

function snapshotEvent(topicKey: string, value: SnapshotInit, nowMs: number): ControlEvent {
  return create(ControlEventSchema, {
    schemaVersion: { version: 1 },
    id: `snapshot/${topicKey}/${value.revision ?? 0n}`,
    source: "qmtl/gateway",
    type: "snapshot",
    subject: topicKey,
    time: timestampFromMs(nowMs),
    topicKey,
    stateHash: value.stateHash ?? "",
    payload: { case: "snapshot", value },
  });
}

function firstOpenSwap(events: readonly ControlEvent[]): number | undefined {
  const open = new Map<string, number>();
  for (const { payload, revision } of events) {
    const swap = payload.case === "queueUpdated" ? swapOf(payload.value) : undefined;
    if (swap === undefined) continue;
    const isOver = swap.phase === SwapPhase.COMMIT || swap.phase === SwapPhase.ABORTED;
    if (isOver) open.delete(swap.swapId);
    else if (!open.has(swap.swapId)) open.set(swap.swapId, Number(revision));
  }
  return open.size === 0 ? undefined : Math.min(...open.values());
}

function swapOf(update: QueueUpdated) {
  return update.swap;
}
