import { create, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { appendOutbox, type Tx } from "@qmtl/service-kit/db";
import type { GateRow, ProposalKind } from "../apply/index.ts";
import type { HoldReasons } from "../store/gate-table.ts";
import { gateToProto } from "./gate-to-proto.ts";

/** Topic all control events go to. */
export const controlTopic = "control";

/** What changed, as GateEvent says it. */
export type GateChange =
  | "freeze"
  | "switch"
  | "unfreeze"
  | "rollback"
  | "closed"
  | "activation"
  | "decision"
  | "resume"
  | "policy"
  | "restore";

/** The change a kind of transition makes; a content change says itself whether it is about the decision. */
export function changeOf(kind: ProposalKind, hint: GateChange | undefined): GateChange {
  if (hint === "restore") return hint;
  if (kind === "apply" || kind === "freeze") return "freeze";
  if (kind === "switch" || kind === "unfreeze" || kind === "rollback") return kind;
  if (kind === "close") return "closed";
  return kind === "remove_hold" ? "resume" : (hint ?? "decision");
}

/** Puts the gate of a world into the outbox, in the transaction that writes it. */
export async function appendGateEvent(
  tx: Tx,
  row: GateRow,
  reasons: HoldReasons,
  event: { readonly change: GateChange; readonly restrictive: boolean; readonly nowMs: number },
): Promise<void> {
  const state = gateToProto(row, reasons);
  await append(tx, {
    id: `world/${row.worldId}/gate/${row.storeEpoch}/${row.revision}`,
    type: "gate_event",
    subject: row.worldId,
    time: timestampFromMs(event.nowMs),
    topicKey: `world/${row.worldId}/gate`,
    revision: BigInt(row.revision),
    worldFence: BigInt(row.fence),
    stateHash: state.stateHash,
    payload: {
      case: "gateEvent",
      value: { state, change: event.change, restrictive: event.restrictive },
    },
  });
}

/** Says that a policy is in force now. */
export async function appendPolicyEvent(
  tx: Tx,
  worldId: string,
  policy: { readonly version: number; readonly checksum: string; readonly nowMs: number },
): Promise<void> {
  await appendCounted(tx, `world/${worldId}/policy`, policy.nowMs, worldId, "policy_updated", {
    case: "policyUpdated",
    value: { worldId, policyVersion: policy.version, checksum: policy.checksum },
  });
}

/** Says that allocations of worlds changed; one event per world. */
export async function appendRebalancingEvents(
  tx: Tx,
  worldIds: readonly string[],
  plan: { readonly planId: string; readonly deltas: number; readonly nowMs: number },
): Promise<void> {
  for (const worldId of [...worldIds].sort()) {
    const topicKey = `world/${worldId}/rebalancing`;
    await appendCounted(tx, topicKey, plan.nowMs, worldId, "rebalancing_planned", {
      case: "rebalancingPlanned",
      value: { worldIds: [...worldIds], planId: plan.planId, deltas: plan.deltas },
    });
  }
}

type EventInit = Exclude<MessageInitShape<typeof ControlEventSchema>, Message>;
type PayloadInit = NonNullable<EventInit["payload"]>;

async function appendCounted(
  tx: Tx,
  topicKey: string,
  nowMs: number,
  subject: string,
  type: string,
  payload: PayloadInit,
): Promise<void> {
  const [row] = await tx.query<{ revision: number }>(
    `INSERT INTO world.topic_revision AS t (topic_key, revision)
     VALUES ($1, 1 + coalesce((SELECT floor FROM world.restore_floor), 0))
     ON CONFLICT (topic_key) DO UPDATE SET revision = t.revision + 1 RETURNING revision`,
    [topicKey],
  );
  const revision = row?.revision ?? 1;
  const time = timestampFromMs(nowMs);
  const id = `${topicKey}/${revision}`;
  await append(tx, { id, type, subject, time, topicKey, revision: BigInt(revision), payload });
}

async function append(tx: Tx, init: EventInit): Promise<void> {
  const event = create(ControlEventSchema, {
    ...init,
    schemaVersion: { version: 1 },
    source: "qmtl/world-service",
  });
  await appendOutbox(tx, "world", {
    topic: controlTopic,
    key: event.topicKey,
    type: event.type,
    payload: toBinary(ControlEventSchema, event),
    revision: Number(event.revision),
  });
}
