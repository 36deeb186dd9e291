import type { Queryable, Tx } from "@qmtl/service-kit/db";

/** What the gateway knows of the queue of a source node. */
export interface SourceKey {
  readonly computeKey: string;
  readonly nodeId: string;
  /** Entry of `sources:`. */
  readonly source: string;
  /** Names of its columns, in order. */
  readonly columns: readonly string[];
  /** Its rows pass the feed's barrier. */
  readonly isReplay: boolean;
}

interface SourceKeyRecord {
  compute_key: string;
  node_id: string;
  source: string;
  columns: string[];
  is_replay: boolean;
}

/** Remembers source keys; one that is known stays as it is: its content follows from its id. */
export async function addSourceKeys(tx: Tx, keys: readonly SourceKey[]): Promise<void> {
  for (const key of keys) {
    await tx.query(
      `insert into gateway.source_key (compute_key, node_id, source, columns, is_replay)
       values ($1, $2, $3, $4, $5) on conflict do nothing`,
      [key.computeKey, key.nodeId, key.source, key.columns, key.isReplay],
    );
  }
}

/** All source keys. */
export async function allSourceKeys(db: Queryable): Promise<SourceKey[]> {
  const records = await db.query<SourceKeyRecord>("select * from gateway.source_key");
  return records.map(keyOf);
}

/** Those of `computeKeys` that are source keys. */
export async function findSourceKeys(
  db: Queryable,
  computeKeys: readonly string[],
): Promise<SourceKey[]> {
  const sql = "select * from gateway.source_key where compute_key = any($1::text[])";
  return (await db.query<SourceKeyRecord>(sql, [computeKeys])).map(keyOf);
}

function keyOf(record: SourceKeyRecord): SourceKey {
  return {
    computeKey: record.compute_key,
    nodeId: record.node_id,
    source: record.source,
    columns: record.columns,
    isReplay: record.is_replay,
  };
}
