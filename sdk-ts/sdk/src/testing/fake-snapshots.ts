import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NodeSnapshotSchema } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";

type Snapshot = MessageInitShape<typeof NodeSnapshotSchema> & { readonly computeKey?: string };

/** Snapshots in memory, stored without a check: the reader must check them. */
export class FakeSnapshots {
  all: readonly Snapshot[] = [];
  /** How often snapshots were requested. */
  asked = 0;

  put(snapshots: readonly Snapshot[]): void {
    this.all = [...this.all, ...snapshots];
  }

  get(keys: readonly string[]): Snapshot[] {
    this.asked++;
    return this.all.filter(({ computeKey = "" }) => keys.includes(computeKey)).reverse();
  }
}
