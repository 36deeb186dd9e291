import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind, Schedule } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { jcs, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";

const worldId = "w";
const intervalSeconds = 86_400n;
const query = { tags: ["signal"], matchAll: false };
const tagTopicKey = "tags/queue";

let platform: KeyedPlatform;
beforeAll(async () => {
  platform = await startKeyedPlatform();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

/** A node with its right id, over at most one input. */
function node(name: string, input?: { readonly nodeId: string }) {
  const inputs = input === undefined ? [] : [{ port: "in", nodeId: input.nodeId }];
  const id = nodeId({
    node_type: name,
    interval_seconds: Number(intervalSeconds),
    period: 1,
    params: {},
    inputs: inputs.map((each) => ({ port: each.port, node_id: parseNodeId(each.nodeId) })),
    schema_compat_id: "f64:a",
    code_hash: "h",
  });
  return {
    nodeId: id,
    nodeType: name,
    intervalSeconds,
    period: 1,
    paramsJson: jcs({}),
    inputs,
    schemaCompatId: "f64:a",
    codeHash: "h",
    name,
    columns: [{ name: "a", kind: ColumnKind.F64 }],
  };
}

const bars = {
  ...node("StreamInput"),
  source: { source: "day", schedule: Schedule.OBSERVED, adapter: "csv-replay" },
};

/** Submits a strategy and waits for its queues; resolves to its id. */
async function submit(strategyName: string, nodes: readonly { readonly nodeId: string }[]) {
  const gateway = platform.connection("operator").client(GatewayService);
  const { submission } = await gateway.submitStrategy({
    requestId: strategyName,
    strategyName,
    graph: { nodes: [...nodes], nodeIdsCrc32: nodeIdsCrc32(nodes.map((each) => each.nodeId)) },
    worldIds: [worldId],
    asOf: "snap",
  });
  const { submissionId = "", strategyId = "" } = submission ?? {};
  for await (const _ of gateway.watchSubmission({ submissionId }));
  return strategyId;
}

async function matching(): Promise<string[]> {
  const { queues } = await platform
    .connection("viewer")
    .client(QueueService)
    .listQueuesByTag({
      query,
      intervalSeconds,
      context: {
        worldId,
        executionDomain: ExecutionDomain.BACKTEST,
        asOf: "snap",
        partition: "global",
      },
    });
  return queues.map((queue) => queue.nodeId);
}

/** Nodes whose queues match the query, as the newest event reports them. */
async function told(): Promise<string[] | undefined> {
  const gateway = platform.connection("viewer").client(GatewayService);
  const { events } = await gateway.listEvents({ topicKey: tagTopicKey, pageSize: 1_000 });
  const payload = events.at(-1)?.payload;
  return payload?.case === "tagQueryUpdated"
    ? payload.value.queues.map((queue) => queue.nodeId)
    : undefined;
}

test("queues of a strategy match tag queries while it is bound, again once it is bound by hand, and not once its world is deleted", async () => {
  const tagged = { ...node("Signal", bars), tags: ["signal"] };
  const asker = { ...node("Asker"), tagQuery: query };
  const strategyId = await submit("tagged", [bars, tagged]);
  await submit("asker", [asker]);
  expect(await matching()).toEqual([tagged.nodeId]);
  await expect.poll(told, { timeout: 20_000 }).toEqual([tagged.nodeId]);
  const worlds = platform.connection("operator").client(WorldService);

  await worlds.deleteBinding({ worldId, strategyId, reason: "the test" });

  expect(await matching()).toEqual([]);
  await expect.poll(told, { timeout: 20_000 }).toEqual([]);

  await worlds.createBindings({ worldId, strategies: [{ strategyId }] });

  expect(await matching()).toEqual([tagged.nodeId]);
  await expect.poll(told, { timeout: 20_000 }).toEqual([tagged.nodeId]);

  await worlds.deleteWorld({ worldId });

  await expect.poll(told, { timeout: 20_000 }).toEqual([]);
});
