import { expect, test } from "vitest";
import { ManualClock } from "../../../testing/index.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RunPorts } from "../log/run-ports.ts";
import { SnapshotWriter } from "./snapshots.ts";

const stateHash = Uint8Array.of(1);

/** A queue that this session gives up after row 7, which is effective. */
function leaving(at: number): QueueReplica {
  return {
    computeKey: `k${at}`,
    identity: { nodeId: `n${at}` },
    phase: "WAITING",
    nextRow: 8,
    row: () => ({ seq: 7, content: { stateHash } }),
  } as unknown as QueueReplica;
}

test("last states of one moment go to the gateway in one call for each 1,000", async () => {
  const stored: string[][] = [];
  const ports = {
    clock: new ManualClock(),
    tickets: { call: (make: (ticket: string) => unknown) => make("t") },
    queues: {
      putSnapshots: async ({ snapshots }: { snapshots: readonly { computeKey: string }[] }) => {
        stored.push(snapshots.map(({ computeKey }) => computeKey));
      },
    },
    tasks: { track: () => {} },
  } as unknown as RunPorts;
  const state = { row: 7, hash: stateHash, state: new Uint8Array(8) };
  const writer = new SnapshotWriter(ports, { stateOf: () => state });

  await Promise.all(Array.from({ length: 1_500 }, (_, at) => writer.storeLast(leaving(at))));

  expect(stored.map(({ length }) => length)).toEqual([1_000, 500]);
  expect(new Set(stored.flat()).size).toBe(1_500);
});
