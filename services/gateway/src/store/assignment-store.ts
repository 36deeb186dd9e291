import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type NodeAssignment, NodeAssignmentSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { Queryable } from "@qmtl/service-kit/db";

/** Largest number of assignments written by one statement. */
export const assignmentsTogetherMax = 1_000;

/** An assignment with its place in its submission. */
interface StoredAssignment {
  readonly position: number;
  readonly assignment: NodeAssignment;
}

/** Writes the assignments of a submission from position `from` on, over those of the round before. */
export async function putAssignments(
  db: Queryable,
  submissionId: string,
  assignments: readonly NodeAssignment[],
  from: number,
): Promise<void> {
  for (let at = from; at < assignments.length; at += assignmentsTogetherMax) {
    await db.query(
      `insert into gateway.node_assignment (submission_id, position, world_id, encoded)
       select $1, * from unnest($2::int[], $3::text[], $4::bytea[])
       on conflict (submission_id, position) do update set world_id = excluded.world_id, encoded = excluded.encoded`,
      [submissionId, ...encodedAssignments(assignments, at, at + assignmentsTogetherMax)],
    );
  }
}

/** Positions, worlds and bytes of the assignments from a position up to another. */
export function encodedAssignments(
  assignments: readonly NodeAssignment[],
  from: number,
  to: number,
): [positions: number[], worldIds: string[], encoded: Uint8Array[]] {
  const batch = assignments.slice(from, to);
  return [
    batch.map((_, at) => from + at),
    batch.map(({ queue }) => queue?.context?.worldId ?? ""),
    batch.map((assignment) => toBinary(NodeAssignmentSchema, assignment)),
  ];
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
