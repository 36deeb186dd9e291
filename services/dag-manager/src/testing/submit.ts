import type { StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { backtest, type ContextInit, demoGraphs } from "./graphs.ts";
import type { TestDag } from "./open-dag.ts";

/** Submits a graph, the demo's A by default. */
export async function submitGraph(
  dag: TestDag,
  strategyId = "A",
  of: StrategyGraph = demoGraphs.a,
  context: ContextInit = backtest,
): Promise<void> {
  const request = { strategyId, graph: of, contexts: [context], submissionId: `sub-${strategyId}` };
  for await (const _ of dag.diff.diff(request));
}

/** Acquires the leases of vacant keys; resolves to their epochs, 0 for a key that was not granted. */
export async function lease(
  dag: TestDag,
  sessionId: string,
  keys: readonly string[],
  build = "b1",
): Promise<number[]> {
  const asks = keys.map((computeKey) => ({ computeKey, build }));
  const { leases } = await dag.queues.acquireLeases({ ticket: sessionId, keys: asks });
  const epochs = new Map(leases.map((one) => [one.computeKey, Number(one.leaseEpoch)]));
  return keys.map((key) => epochs.get(key) ?? 0);
}
