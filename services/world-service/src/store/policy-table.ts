import type { Queryable } from "@qmtl/service-kit/db";

/** A version of a world's policy. Never changed once stored. */
export interface PolicyRow {
  readonly version: number;
  readonly document: string;
  /** "blake3:…" of the text. */
  readonly checksum: string;
  readonly principal: string;
  readonly createdMs: number;
}

interface PolicyRecord {
  version: number;
  document: string;
  checksum: string;
  principal: string;
  created_ms: number;
}

/** Adds a version. */
export async function insertPolicy(db: Queryable, worldId: string, row: PolicyRow): Promise<void> {
  await db.query(
    `INSERT INTO world.policy (world_id, version, document, checksum, principal, created_ms)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [worldId, row.version, row.document, row.checksum, row.principal, row.createdMs],
  );
}

/** The newest version's number; 0 without one. */
export async function readLastVersion(db: Queryable, worldId: string): Promise<number> {
  const sql = "SELECT max(version) AS version FROM world.policy WHERE world_id = $1";
  const [record] = await db.query<{ version: number | null }>(sql, [worldId]);
  return record?.version ?? 0;
}

/** Versions below `before`, newest first, without their documents. */
export async function readPolicies(
  db: Queryable,
  worldId: string,
  before: number,
  limit: number,
): Promise<PolicyRow[]> {
  const sql = `SELECT version, '' AS document, checksum, principal, created_ms FROM world.policy
     WHERE world_id = $1 AND version < $2::bigint ORDER BY version DESC LIMIT $3`;
  return (await db.query<PolicyRecord>(sql, [worldId, before, limit])).map(policyOf);
}

/** One version; undefined when there is none. */
export async function readPolicy(
  db: Queryable,
  worldId: string,
  version: number,
): Promise<PolicyRow | undefined> {
  const sql = "SELECT * FROM world.policy WHERE world_id = $1 AND version = $2::bigint";
  const [record] = await db.query<PolicyRecord>(sql, [worldId, version]);
  return record && policyOf(record);
}

function policyOf(record: PolicyRecord): PolicyRow {
  const { version, document, checksum, principal } = record;
  return { version, document, checksum, principal, createdMs: record.created_ms };
}
