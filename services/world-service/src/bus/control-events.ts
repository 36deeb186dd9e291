import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { GateChange as GateChangeCode } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import {
  appendControlEvent,
  appendGateEvent as appendGate,
  readTopic,
  worldTopicKey,
} from "@qmtl/service-kit/control";
import type { Tx } from "@qmtl/service-kit/db";
import type { GateRow, ProposalKind } from "../apply/index.ts";
import type { HoldReasons } from "../store/gate-table.ts";
import { gateToProto } from "./gate-to-proto.ts";

const CHANGES = {
  freeze: GateChangeCode.FREEZE,
  switch: GateChangeCode.SWITCH,
  unfreeze: GateChangeCode.UNFREEZE,
  rollback: GateChangeCode.ROLLBACK,
  closed: GateChangeCode.CLOSED,
  activation: GateChangeCode.ACTIVATION,
  decision: GateChangeCode.DECISION,
  resume: GateChangeCode.RESUME,
  policy: GateChangeCode.POLICY,
  restore: GateChangeCode.RESTORE,
} as const;

/** What changed, as GateEvent reports it. */
export type GateChange = keyof typeof CHANGES;

/** The change that a transition makes. For a content change it is `hint`, or the decision when there is none. */
export function changeOf(kind: ProposalKind, hint: GateChange | undefined): GateChange {
  if (hint === "restore") return hint;
  if (kind === "apply" || kind === "freeze") return "freeze";
  if (kind === "switch" || kind === "unfreeze" || kind === "rollback") return kind;
  if (kind === "close") return "closed";
  return kind === "remove_hold" ? "resume" : (hint ?? "decision");
}

/** Puts the gate of a world into the outbox, in the transaction that writes it. */
export function appendGateEvent(
  tx: Tx,
  row: GateRow,
  reasons: HoldReasons,
  event: { readonly change: GateChange; readonly restrictive: boolean; readonly nowMs: number },
): Promise<void> {
  const state = gateToProto(row, reasons);
  const { restrictive } = event;
  const change = CHANGES[event.change];
  return appendGate(tx, "world", { state, change, restrictive }, event.nowMs);
}

/** Publishes which policy is in force now; version 0: none. */
export function appendPolicyEvent(
  tx: Tx,
  worldId: string,
  policy: { readonly version: number; readonly checksum: string; readonly nowMs: number },
): Promise<void> {
  const { version: policyVersion, checksum, nowMs } = policy;
  const topicKey = worldTopicKey(worldId, "policy");
  const value = { worldId, policyVersion, checksum };
  const payload = { case: "policyUpdated" as const, value };
  return appendControlEvent(tx, "world", { topicKey, subject: worldId, payload }, nowMs);
}

/** A batch that a gateway executed, as topic REBALANCING reports it for one world. */
interface EmittedBatch {
  readonly batchId: string;
  /** Position changes of the batch in this world. */
  readonly deltas: number;
}

/** A world's share of equity as it was just set. */
interface ChangedAllocation {
  readonly worldId: string;
  readonly ratio: number;
  /** Executed last in this world; absent for none. */
  readonly batch?: EmittedBatch | undefined;
}

/** Publishes changed allocations of worlds, in one event per world. */
export async function appendRebalancingEvents(
  tx: Tx,
  allocations: readonly ChangedAllocation[],
  nowMs: number,
): Promise<void> {
  // Keys in one order, whatever the order of the request, so that transactions at the same time cannot deadlock.
  const sorted = [...allocations].sort((a, b) => (a.worldId < b.worldId ? -1 : 1));
  for (const { worldId, ratio, batch } of sorted) {
    const topicKey = worldTopicKey(worldId, "rebalancing");
    const value = { worldId, allocation: ratio, ...batch, updateTime: timestampFromMs(nowMs) };
    const payload = { case: "rebalancingUpdated" as const, value };
    await appendControlEvent(tx, "world", { topicKey, subject: worldId, payload }, nowMs);
  }
}

/** The batch that topic REBALANCING last reported for a world. */
export async function lastEmittedBatch(tx: Tx, worldId: string): Promise<EmittedBatch | undefined> {
  const { changes } = await readTopic(tx, "world", worldTopicKey(worldId, "rebalancing"));
  const payload = changes.at(-1)?.payload;
  if (payload?.case !== "rebalancingUpdated" || payload.value.batchId === "") return undefined;
  const { batchId, deltas } = payload.value;
  return { batchId, deltas };
}
