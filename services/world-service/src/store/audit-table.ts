import { jcs } from "@qmtl/core/canonical";
import type { Queryable } from "@qmtl/service-kit/db";

/** What happened, for the audit. */
export interface AuditEvent {
  readonly worldId: string;
  readonly type: string;
  readonly principal: string;
  /** Plain JSON data. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly nowMs: number;
  readonly fence: number;
  readonly revision: number;
}

/** An audit entry as stored. */
export interface AuditRow extends Omit<AuditEvent, "body" | "nowMs"> {
  readonly entry: number;
  readonly bodyJson: string;
  readonly createdMs: number;
}

interface AuditRecord {
  world_id: string;
  entry: number;
  type: string;
  principal: string;
  body: unknown;
  created_ms: number;
  fence: number;
  revision: number;
}

/** Appends an entry under the world's next number; the counter's row lock keeps it gap-free. */
export async function appendAudit(db: Queryable, event: AuditEvent): Promise<void> {
  const { counter, insert, params } = auditWrite(event);
  await db.query(`WITH ${counter} ${insert}`, params);
}

/**
 * The entry as the end of a statement with further parts: `counter` is one of its WITH queries, `insert` the statement
 * itself.
 *
 * @param before number of parameters of the parts before it
 */
export function auditWrite(event: AuditEvent, before = 0) {
  const [world, type, principal, body, created, fence, revision] = [1, 2, 3, 4, 5, 6, 7].map(
    (place) => `$${before + place}`,
  );
  return {
    counter: `counted AS (
       UPDATE world.world SET audit_entries = audit_entries + 1 WHERE world_id = ${world} RETURNING audit_entries)`,
    insert: `INSERT INTO world.audit (world_id, entry, type, principal, body, created_ms, fence, revision)
     SELECT ${world}, counted.audit_entries, ${type}, ${principal}, ${body}::jsonb, ${created}, ${fence}, ${revision}
     FROM counted`,
    params: [
      event.worldId,
      event.type,
      event.principal,
      JSON.stringify(event.body),
      event.nowMs,
      event.fence,
      event.revision,
    ],
  };
}

/** Entries after `after`, oldest first. */
export async function readAudit(
  db: Queryable,
  worldId: string,
  after: number,
  limit: number,
): Promise<AuditRow[]> {
  const records = await db.query<AuditRecord>(
    "SELECT * FROM world.audit WHERE world_id = $1 AND entry > $2 ORDER BY entry LIMIT $3",
    [worldId, after, limit],
  );
  return records.map((r) => ({
    worldId: r.world_id,
    entry: r.entry,
    type: r.type,
    principal: r.principal,
    bodyJson: jcs(r.body),
    createdMs: r.created_ms,
    fence: r.fence,
    revision: r.revision,
  }));
}
