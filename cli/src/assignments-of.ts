import type { Client } from "@connectrpc/connect";
import type { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { NodeAssignment } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { allOf } from "./pages-of.ts";

/** The queues of a completed submission, inputs before readers. */
export function assignmentsOf(
  gateway: Client<typeof GatewayService>,
  submissionId: string,
): Promise<NodeAssignment[]> {
  return allOf(
    (pageToken) => gateway.listNodeAssignments({ submissionId, pageSize: 5000, pageToken }),
    (page) => page.assignments,
  );
}
