import { QmtlError } from "@qmtl/sdk/rpc";
import { appendPolicyEvent } from "../bus/control-events.ts";
import { reassess } from "../decide/reassess.ts";
import { policyNotFound, readPolicyDocument } from "../policy/policy-refusal.ts";
import { appendAudit } from "../store/audit-table.ts";
import { hashText } from "../store/hash-text.ts";
import {
  insertPolicy,
  type PolicyRow,
  readLastVersion,
  readPolicy,
} from "../store/policy-table.ts";
import { type RequestKey, readRequest, writeRequest } from "../store/request-table.ts";
import { updateWorld } from "../store/world-table.ts";
import { auditOf } from "../world/audit-of.ts";
import type { ServicePorts } from "../world/service-ports.ts";
import type { WorldActor } from "../world/world-actor.ts";

/** A policy and whether it is the one in force. */
export interface ShownPolicy {
  readonly row: PolicyRow;
  readonly isDefault: boolean;
}

/** A policy to store. */
interface NewPolicy {
  readonly document: string;
  /** Checks only; nothing is stored. */
  readonly validateOnly: boolean;
  readonly principal: string;
  /** Stored with the policy, so that the same request again finds the version that it created. */
  readonly request: RequestKey | undefined;
}

/**
 * Checks a policy whole, then stores it as the next version; the first becomes the default. A policy that is only
 * checked has version 0.
 *
 * @throws {QmtlError} REQUEST_ID_REUSED for a request that was stored with other content; what `readPolicyDocument`
 * throws.
 */
export function createPolicy(
  actor: WorldActor,
  ports: ServicePorts,
  wanted: NewPolicy,
): Promise<ShownPolicy> {
  const { document, principal, request } = wanted;
  const policy = readPolicyDocument(document);
  return actor.exclusive(async () => {
    const nowMs = ports.clock.nowMs();
    const checksum = hashText(document);
    const draft = { document, checksum, principal, createdMs: nowMs };
    if (wanted.validateOnly) return { row: { ...draft, version: 0 }, isDefault: false };
    const known = request && (await readRequest(ports.db, request, nowMs));
    if (known !== undefined) return findPolicy(actor, ports, Number(known));
    const version = (await readLastVersion(ports.db, actor.worldId)) + 1;
    const row: PolicyRow = { ...draft, version };
    const isDefault = version === 1;
    const world = { ...actor.state.world, policyVersion: version };
    await actor.write(async (tx) => {
      await insertPolicy(tx, actor.worldId, row);
      if (isDefault) await updateWorld(tx, world);
      await appendAudit(
        tx,
        auditOf(actor, "policy_added", principal, nowMs, { version, checksum }),
      );
      if (isDefault) await appendPolicyEvent(tx, actor.worldId, { version, checksum, nowMs });
      if (request !== undefined) await writeRequest(tx, request, String(version), nowMs);
    });
    if (isDefault) await adopt(actor, ports, { version, policy }, principal);
    return { row, isDefault };
  });
}

/** The etag of a world's default policy, which changes with the version in force. */
export function defaultPolicyEtag(actor: WorldActor): string {
  const { createdMs, policyVersion } = actor.state.world;
  return `${createdMs.toString(36)}-p${policyVersion}`;
}

/**
 * Changes the policy in force.
 *
 * @throws {QmtlError} POLICY_NOT_FOUND; ETAG_MISMATCH when `etag` is not empty and another policy has come into force
 * since it was read.
 */
export function setDefaultPolicy(
  actor: WorldActor,
  ports: ServicePorts,
  wanted: { readonly version: number; readonly etag: string; readonly principal: string },
): Promise<ShownPolicy> {
  const { version, etag, principal } = wanted;
  return actor.exclusive(async () => {
    const current = defaultPolicyEtag(actor);
    if (etag !== "" && etag !== current) {
      throw new QmtlError("ETAG_MISMATCH", "another policy was put in force in the meantime", {
        metadata: { etag: current },
      });
    }
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

/** A version of the policy; 0 stands for the default. @throws {QmtlError} POLICY_NOT_FOUND */
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
