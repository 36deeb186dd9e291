import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NodeSnapshotSchema } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";

type Snapshot = MessageInitShape<typeof NodeSnapshotSchema> & { readonly computeKey?: string };

/** Snapshots in memory, believed as they are given: who reads them must check. */
export class FakeSnapshots {
  all: readonly Snapshot[] = [];
  /** Times that they were asked for. */
  asked = 0;

  put(snapshots: readonly Snapshot[]): void {
    this.all = [...this.all, ...snapshots];
  }

  get(keys: readonly string[]): Snapshot[] {
    this.asked++;
    return this.all.filter(({ computeKey = "" }) => keys.includes(computeKey)).reverse();
  }
}
