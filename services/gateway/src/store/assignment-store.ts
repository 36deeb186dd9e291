import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type NodeAssignment, NodeAssignmentSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

/** Assignments written by one statement. */
const batchMax = 1_000;

/** An assignment with its place in its submission. */
interface StoredAssignment {
  readonly position: number;
  readonly assignment: NodeAssignment;
}

/** Replaces the assignments of a submission. */
export async function putAssignments(
  tx: Tx,
  submissionId: string,
  assignments: readonly NodeAssignment[],
): Promise<void> {
  await tx.query("delete from gateway.node_assignment where submission_id = $1", [submissionId]);
  for (let from = 0; from < assignments.length; from += batchMax) {
    const batch = assignments.slice(from, from + batchMax);
    await tx.query(
      `insert into gateway.node_assignment (submission_id, position, world_id, encoded)
       select $1, * from unnest($2::int[], $3::text[], $4::bytea[])`,
      [
        submissionId,
        batch.map((_, at) => from + at),
        batch.map(({ queue }) => queue?.context?.worldId ?? ""),
        batch.map((assignment) => toBinary(NodeAssignmentSchema, assignment)),
      ],
    );
  }
}

/** Assignments of a submission after a position: of one world and its sources, or of all. */
export async function readAssignments(
  db: Queryable,
  submissionId: string,
  page: { readonly worldId: string; readonly after: number; readonly limit: number },
): Promise<StoredAssignment[]> {
  const rows = await db.query<{ position: number; encoded: Uint8Array }>(
    `select position, encoded from gateway.node_assignment
     where submission_id = $1 and position > $2 and ($3 = '' or world_id in ('', $3))
     order by position limit $4`,
    [submissionId, page.after, page.worldId, page.limit],
  );
  return rows.map(({ position, encoded }) => ({
    position,
    assignment: fromBinary(NodeAssignmentSchema, encoded),
  }));
}
