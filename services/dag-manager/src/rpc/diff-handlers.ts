import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { type LeadershipTracker, type ServedService, serve } from "@qmtl/service-kit";
import { diff } from "../diff/diff.ts";
import type { DagStore } from "../store/dag-store.ts";

/** Graph in, queues out. */
export function diffHandlers(store: DagStore, leader: LeadershipTracker): ServedService {
  return serve(DiffService, {
    diff(request) {
      leader.mustLead();
      return diff(store, request);
    },
  });
}
