import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Client } from "pg";
import type { StoryRecord } from "./story-record.ts";

/** Where the data of a stopped platform is. */
export type DataPlace =
  | { readonly kind: "embedded"; readonly folder: string }
  | { readonly kind: "postgres"; readonly dsn: string };

type Row = Readonly<Record<string, unknown>>;
type Query = (sql: string) => Promise<readonly Row[]>;

/** The part of a story's record that comes from the databases. */
export type StoredRecord = Pick<
  StoryRecord,
  | "accepted"
  | "executions"
  | "booked"
  | "heldLots"
  | "journal"
  | "audit"
  | "runs"
  | "decisions"
  | "submissions"
>;

/** Reads the record of a world with plain SQL, without any service. The platform must be stopped. */
export async function readRecord(place: DataPlace, world: string): Promise<StoredRecord> {
  if (place.kind === "embedded") {
    const db = await PGlite.create(join(place.folder, "pgdata"));
    try {
      return await read(async (sql) => (await db.query<Row>(sql)).rows, world);
    } finally {
      await db.close();
    }
  }
  const client = new Client({ connectionString: place.dsn });
  await client.connect();
  try {
    return await read(async (sql) => (await client.query<Row>(sql)).rows, world);
  } finally {
    await client.end();
  }
}

async function read(query: Query, world: string): Promise<StoredRecord> {
  const accepted = await query("SELECT * FROM paper.accepted_order ORDER BY position");
  const executions = await query("SELECT * FROM paper.execution ORDER BY sequence");
  const booked = await query("SELECT * FROM gateway.client_order ORDER BY position");
  const [held] = await query("SELECT coalesce(sum(lots), 0) AS lots FROM paper.holding");
  const journal = await query("SELECT entry, body FROM gateway.journal ORDER BY entry");
  const audit = await query(`SELECT * FROM world.audit WHERE world_id = '${world}' ORDER BY entry`);
  const runs = await query(`SELECT * FROM world.apply_run WHERE world_id = '${world}'`);
  const decisions = await query("SELECT decision_id, created_ms FROM world.decision");
  const submissions = await query(
    `SELECT DISTINCT b.strategy_id FROM world.binding b JOIN gateway.submission s USING (strategy_id)
     WHERE s.state = 'completed'`,
  );
  return {
    accepted: accepted.map((row) => ({
      orderId: String(row.order_id),
      strategyId: String(row.strategy_id),
      lots: Number(row.lots),
      bucketMs: Number(row.bucket_end_ms),
      reduceOnly: row.reduce_only === true,
      fence: Number(row.fence),
      decisionId: String(row.decision_id),
      origin: String(row.origin),
      acceptedMs: Number(row.accepted_ms),
      outcome: row.outcome === null ? "" : String(row.outcome),
    })),
    executions: executions.map((row) => ({
      executionId: String(row.execution_id),
      orderId: String(row.order_id),
      lots: Number(row.lots),
    })),
    booked: booked.map((row) => ({
      orderId: String(row.client_order_id),
      lots: Number(row.lots),
      filledLots: Number(row.filled_lots),
      state: String(row.state),
      fence: Number(row.fence),
    })),
    heldLots: Number(held?.lots ?? 0),
    journal: journal.map((row) => ({ entry: Number(row.entry), body: String(row.body) })),
    audit: audit.map((row) => ({
      entry: Number(row.entry),
      type: String(row.type),
      fence: Number(row.fence),
      revision: Number(row.revision),
      timeMs: Number(row.created_ms),
      body: objectOf(row.body),
    })),
    runs: runs.map((row) => ({
      runId: String(row.run_id),
      state: String(row.state),
      planDecisionId: String(objectOf(objectOf(objectOf(row.body).plan).decision).id),
    })),
    decisions: new Map(decisions.map((row) => [String(row.decision_id), Number(row.created_ms)])),
    submissions: submissions.map((row) => String(row.strategy_id)),
  };
}

function objectOf(value: unknown): Row {
  return typeof value === "object" && value !== null ? (value as Row) : {};
}
