import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { type ServedService, serve } from "@qmtl/service-kit";
import type { DagStore } from "../store/dag-store.ts";
import { diff } from "../diff/diff.ts";
import type { Leadership } from "../leadership.ts";

/** Graph in, queues out. */
export function diffHandlers(store: DagStore, leadership: Leadership): ServedService {
  return serve(DiffService, {
    diff(request) {
      leadership.mustLead();
      return diff(store, request);
    },
  });
}
