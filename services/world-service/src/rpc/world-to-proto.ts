import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type AuditEntry,
  AuditEntrySchema,
  type Binding,
  BindingSchema,
  type LeaseTimers,
  LeaseTimersSchema,
  type World,
  WorldSchema,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { EffectiveMode, GateTimers } from "@qmtl/core/gate";
import { modeToProto } from "../bus/gate-to-proto.ts";
import { worldEtag } from "../configure/change-world.ts";
import type { AuditRow } from "../store/audit-table.ts";
import { leaderMsDefault } from "../world/leadership.ts";
import type { SharedBinding } from "../world/shares-in-force.ts";
import { timersOf } from "../world/world-settings.ts";
import type { WorldState } from "../world/world-state.ts";
import { clocks, demotePolicies, leaseLostPolicies } from "./closed-sets.ts";

/** A world on the wire; timers are those in force. */
export function worldToProto(state: WorldState): World {
  const { settings, policyVersion, allocation, createdMs } = state.world;
  return create(WorldSchema, {
    worldId: settings.worldId,
    displayName: settings.displayName,
    clock: clocks.toProto(settings.clock),
    source: settings.source,
    accountId: settings.accountId,
    allowLive: settings.allowLive,
    maxLag: durationFromMs(settings.maxLagSeconds * 1_000),
    decisionTtl: durationFromMs(settings.decisionTtlSeconds * 1_000),
    onDemote: demotePolicies.toProto(state.policy?.policy.onDemote ?? settings.onDemote),
    onLeaseLost: leaseLostPolicies.toProto(settings.onLeaseLost),
    reduceOnlyWhenShut: settings.reduceOnlyWhenShut,
    cancelProtective: settings.cancelProtective,
    paperTimers: timersToProto(timersOf(settings, false, leaderMsDefault)),
    liveTimers: timersToProto(timersOf(settings, true, leaderMsDefault)),
    etag: worldEtag(state.world),
    createTime: timestampFromMs(createdMs),
    policyVersion,
    allocation,
  });
}

/** A binding on the wire. */
export function bindingToProto(worldId: string, row: SharedBinding, mode: EffectiveMode): Binding {
  return create(BindingSchema, {
    worldId,
    strategyId: row.strategyId,
    strategyName: row.strategyName,
    stage: modeToProto(row.stage),
    effectiveMode: modeToProto(mode),
    share: row.share,
    createTime: timestampFromMs(row.createdMs),
  });
}

/** An audit entry on the wire. */
export function auditToProto(row: AuditRow): AuditEntry {
  return create(AuditEntrySchema, {
    entry: BigInt(row.entry),
    worldId: row.worldId,
    type: row.type,
    principal: row.principal,
    bodyJson: row.bodyJson,
    createTime: timestampFromMs(row.createdMs),
    fence: BigInt(row.fence),
    revision: BigInt(row.revision),
  });
}

function timersToProto(timers: GateTimers): LeaseTimers {
  return create(LeaseTimersSchema, {
    lease: durationFromMs(timers.leaseMs),
    renewInterval: durationFromMs(timers.renewMs),
    margin: durationFromMs(timers.marginMs),
    emitMax: durationFromMs(timers.emitMaxMs),
    freezeTimeout: durationFromMs(timers.freezeTimeoutMs),
    switchAck: durationFromMs(timers.switchAckMs),
    sessionDead: durationFromMs(timers.sessionDeadMs),
  });
}
