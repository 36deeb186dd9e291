import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { type LeadershipTracker, type ServedService, serve } from "@qmtl/service-kit";
import { diff } from "../diff/diff.ts";
import { GraphCommits } from "../diff/graph-commits.ts";
import type { DagStore } from "../store/dag-store.ts";

/** Serves DiffService: takes a strategy graph, returns the queues of its nodes. */
export function diffHandlers(store: DagStore, leader: LeadershipTracker): ServedService {
  const commits = new GraphCommits(store);
  return serve(DiffService, {
    diff(request) {
      leader.mustLead();
      return diff({ store, commits }, request);
    },
  });
}
