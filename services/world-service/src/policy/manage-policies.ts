import { QmtlError } from "@qmtl/sdk/rpc";
import { appendPolicyEvent } from "../bus/control-events.ts";
import { reassess } from "../decide/reassess.ts";
import { appendAudit } from "../store/audit-table.ts";
import { insertPolicy, type PolicyRow, readPolicies, readPolicy } from "../store/policy-table.ts";
import { updateWorld } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import { hashText } from "../world/hash-text.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";
import { readPolicyDocument } from "./policy-refusal.ts";

/** A policy and whether it is the one in force. */
export interface ShownPolicy {
  readonly row: PolicyRow;
  readonly isDefault: boolean;
}

/** Checks a policy whole, then stores it as the next version; the first becomes the default. */
export function createPolicy(
  actor: WorldActor,
  ports: ServicePorts,
  document: string,
  options: { readonly validateOnly: boolean; readonly principal: string },
): Promise<ShownPolicy> {
  const policy = readPolicyDocument(document);
  return actor.exclusive(async () => {
    const stored = await readPolicies(ports.db, actor.worldId);
    const version = (stored[0]?.version ?? 0) + 1;
    const { principal } = options;
    const nowMs = ports.clock.nowMs();
    const checksum = hashText(document);
    const row: PolicyRow = { version, document, checksum, principal, createdMs: nowMs };
    const isDefault = version === 1;
    if (options.validateOnly) return { row, isDefault: false };
    const world = { ...actor.state.world, policyVersion: version };
    await actor.write(async (tx) => {
      await insertPolicy(tx, actor.worldId, row);
      if (isDefault) await updateWorld(tx, world);
      await appendAudit(
        tx,
        auditOf(actor, "policy_added", principal, nowMs, { version, checksum }),
      );
      if (isDefault) await appendPolicyEvent(tx, actor.worldId, { version, checksum, nowMs });
    });
    if (isDefault) await adopt(actor, ports, { version, policy }, principal);
    return { row, isDefault };
  });
}

/** Changes the policy in force. */
export function setDefaultPolicy(
  actor: WorldActor,
  ports: ServicePorts,
  version: number,
  principal: string,
): Promise<ShownPolicy> {
  return actor.exclusive(async () => {
    const row = await readPolicy(ports.db, actor.worldId, version);
    if (row === undefined) throw policyNotFound(actor.worldId, version);
    const policy = readPolicyDocument(row.document);
    const nowMs = ports.clock.nowMs();
    const { checksum } = row;
    await actor.write(async (tx) => {
      await updateWorld(tx, { ...actor.state.world, policyVersion: version });
      const body = { version, checksum };
      await appendAudit(tx, auditOf(actor, "policy_default_set", principal, nowMs, body));
      await appendPolicyEvent(tx, actor.worldId, { version, checksum, nowMs });
    });
    await adopt(actor, ports, { version, policy }, principal);
    return { row, isDefault: true };
  });
}

/** A version, or the default for 0. @throws {QmtlError} POLICY_NOT_FOUND */
export async function findPolicy(
  actor: WorldActor,
  ports: ServicePorts,
  version: number,
): Promise<ShownPolicy> {
  const wanted = version === 0 ? actor.state.world.policyVersion : version;
  const row = await readPolicy(ports.db, actor.worldId, wanted);
  if (row === undefined) throw policyNotFound(actor.worldId, wanted);
  return { row, isDefault: wanted === actor.state.world.policyVersion };
}

/** The refusal for a version that is not there; 0 stands for "no policy at all". */
export function policyNotFound(worldId: string, version: number): QmtlError {
  const what = version === 0 ? "no policy" : `no policy version ${version}`;
  return new QmtlError("POLICY_NOT_FOUND", `world ${worldId} has ${what}`, {
    metadata: { world_id: worldId },
  });
}

async function adopt(
  actor: WorldActor,
  ports: ServicePorts,
  next: NonNullable<WorldActor["state"]["policy"]>,
  principal: string,
): Promise<void> {
  actor.state.world = { ...actor.state.world, policyVersion: next.version };
  actor.state.policy = next;
  if (!actor.isRunInFlight) await reassess(actor, ports, principal);
}
