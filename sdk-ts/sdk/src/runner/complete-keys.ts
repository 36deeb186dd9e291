import { QueueReader } from "../sources/queue-reader.ts";
import type { QueueReplica } from "./queue-replica.ts";
import type { RunPorts } from "./run-ports.ts";

/** Reads queues from their first record, and gives them the rows they lack. */
export async function completeKeys(
  ports: RunPorts,
  keys: readonly QueueReplica[],
  signal: AbortSignal,
): Promise<void> {
  const whole = new Map(keys.map((key) => [key.computeKey, key.copy()]));
  const reader = new QueueReader({
    data: ports.data,
    clock: ports.clock,
    keys: [...whole.values()],
    onRecords: (records) => {
      for (const record of records) whole.get(record.computeKey)?.read(record);
    },
    onProblem: ports.onProblem,
    onGone: ports.onGone,
  });
  const end = (): void => void reader.stop();
  signal.addEventListener("abort", end);
  await reader.history();
  signal.removeEventListener("abort", end);
  for (const key of keys) key.complete(whole.get(key.computeKey)!);
}
