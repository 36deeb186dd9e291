import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { node, openGatewayRig, submission } from "../testing/gateway-rig.ts";

type Rig = Awaited<ReturnType<typeof openGatewayRig>>;
let rig: Rig;
beforeAll(async () => {
  rig = await openGatewayRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const source = node("StreamInput");
const reader = node("sma", [source], { n: 3 });
const gatewayOf = () => rig.client(GatewayService);

async function completed(submissionId: string) {
  let last: { state: string; assignments: readonly unknown[]; stateReason: string } | undefined;
  for await (const { submission: now } of gatewayOf().watchSubmission({ submissionId })) last = now;
  return last!;
}

test("a submission is completed with a queue for every node, and handing it in again is no error", async () => {
  const first = await gatewayOf().submitStrategy(submission([source, reader]));
  expect(first.duplicate).toBe(false);
  expect(first.submission?.strategyId).toMatch(/^s-[0-9a-f]{16}$/);
  const done = await completed(first.submission!.submissionId);
  expect(done).toMatchObject({ state: "completed", newNodes: 2, reusedNodes: 0 });
  expect(done.assignments).toHaveLength(2);
  expect(rig.world.bound).toContain(first.submission!.strategyId);

  const again = await gatewayOf().submitStrategy(submission([reader, source]));
  expect(again.duplicate).toBe(true);
  expect(again.submission?.strategyId).toBe(first.submission?.strategyId);
  expect(await completed(again.submission!.submissionId)).toMatchObject({ state: "completed" });
});

test("a dry run answers the queues and stores nothing", async () => {
  const request = submission([source, node("ema", [source])], { validateOnly: true });
  const { submission: seen } = await gatewayOf().submitStrategy(request);
  expect(seen).toMatchObject({ state: "completed" });
  expect(seen?.assignments).toHaveLength(2);
  await expect(
    gatewayOf().getSubmission({ submissionId: seen!.submissionId }),
  ).rejects.toMatchObject({ reason: "SUBMISSION_NOT_FOUND" });
});

test("an outage of the DAG Manager is told in the state's reason and tried again until it is over", async () => {
  rig.dag.isDown = true;
  const request = submission([source, node("rsi", [source])], { strategyName: "retry" });
  const { submission: taken } = await gatewayOf().submitStrategy(request);
  const { submissionId } = taken!;
  await waitUntil(async () => {
    const { submission: now } = await gatewayOf().getSubmission({ submissionId });
    return now?.stateReason !== "" && now!.attempts > 0;
  });
  rig.dag.isDown = false;
  expect(await completed(submissionId)).toMatchObject({ state: "completed", stateReason: "" });
}, 40_000);

test("the same request id is answered again for the same content, and refused for other content", async () => {
  const request = submission([source], { requestId: "r1", strategyName: "ids" });
  const first = await gatewayOf().submitStrategy(request);
  const again = await gatewayOf().submitStrategy(request);
  expect(again.submission?.submissionId).toBe(first.submission?.submissionId);
  const other = submission([source, reader], { requestId: "r1", strategyName: "ids" });
  await expect(gatewayOf().submitStrategy(other)).rejects.toMatchObject({
    reason: "REQUEST_ID_REUSED",
  });
});

describe("a bad submission is refused whole", () => {
  const loopA = { ...node("a"), inputs: [{ port: "in0", nodeId: node("b").nodeId }] };
  const loopB = { ...node("b"), inputs: [{ port: "in0", nodeId: node("a").nodeId }] };
  const cases = {
    "a cycle": [submission([loopA, loopB]), "GRAPH_HAS_CYCLE", "graph.nodes[0].inputs"],
    "an input outside the graph": [
      submission([reader]),
      "UNKNOWN_DEPENDENCY",
      "graph.nodes[0].inputs[0].node_id",
    ],
    "an id that its content does not make": [
      submission([{ ...source, period: 2 }]),
      "NODE_ID_MISMATCH",
      "graph.nodes[0].node_id",
    ],
    "a wrong checksum": [
      submission([source], { graph: { nodes: [source], nodeIdsCrc32: 1 } }),
      "CRC_MISMATCH",
      "graph.node_ids_crc32",
    ],
    "a missing field": [
      submission([{ ...source, codeHash: "" }]),
      "INVALID_FIELD",
      "graph.nodes[0].code_hash",
    ],
    "too many nodes": [
      submission(Array.from({ length: 10_001 }, () => source)),
      "GRAPH_TOO_LARGE",
      "graph.nodes",
    ],
    "too much metadata": [
      submission([source], { metadata: { note: "x".repeat(16 * 1024) } }),
      "INVALID_FIELD",
      "metadata",
    ],
    "no data snapshot": [submission([source], { asOf: "" }), "CONTEXT_INCOMPLETE", "as_of"],
  } as const;
  for (const [name, [request, reason, field]] of Object.entries(cases)) {
    test(name, async () => {
      await expect(gatewayOf().submitStrategy(request)).rejects.toMatchObject({
        reason,
        fields: expect.arrayContaining([expect.objectContaining({ field })]),
      });
    });
  }

  test("an unknown world", async () => {
    await expect(
      gatewayOf().submitStrategy(submission([source], { worldIds: ["w9"] })),
    ).rejects.toMatchObject({ reason: "WORLD_NOT_FOUND" });
  });
});
