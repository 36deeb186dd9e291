import { Code } from "@connectrpc/connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { Schedule } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { type Submission, SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { weightBoundsOf } from "../store/submission-store.ts";
import { node, openGatewayRig, submission, type TestNode } from "../testing/gateway-rig.ts";

type Rig = Awaited<ReturnType<typeof openGatewayRig>>;
let rig: Rig;
beforeAll(async () => {
  rig = await openGatewayRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const source = node("StreamInput");
const reader = node("sma", [source], { n: 3 });
const feed = { ...source, source: { source: "feed", schedule: Schedule.OBSERVED } };
const pin = { source: "feed", fingerprint: "f1" };
const target = { nodeId: source.nodeId, instrument: "SPX", maxWeight: 1 };
const gatewayOf = () => rig.client(GatewayService);

async function completed(submissionId: string) {
  let last: Submission | undefined;
  for await (const { submission: now } of gatewayOf().watchSubmission({ submissionId })) last = now;
  return last!;
}

test("a submission is completed with a queue for every node, and handing it in again is no error", async () => {
  const first = await gatewayOf().submitStrategy(submission([source, reader]));
  expect(first.duplicate).toBe(false);
  expect(first.submission?.strategyId).toMatch(/^s-[0-9a-f]{16}$/);
  const done = await completed(first.submission!.submissionId);
  const { COMPLETED: state } = SubmissionState;
  expect(done).toMatchObject({ state, newNodes: 2, reusedNodes: 0, strategyName: "A" });
  expect(done.contexts).toMatchObject([{ worldId: "w1", asOf: "snap", pins: [] }]);
  expect(rig.world.bound).toContain(first.submission!.strategyId);

  const again = await gatewayOf().submitStrategy(submission([reader, source]));
  expect(again.duplicate).toBe(true);
  expect(again.submission?.strategyId).toBe(first.submission?.strategyId);
  expect(await completed(again.submission!.submissionId)).toMatchObject({ state });
});

test("the weights that targets declare are found again, those handed in for the world before others", async () => {
  const nodes = [source, node("ema", [source], { n: 7 })];
  const bound = (instrument: string, maxWeight: number) => ({ ...target, instrument, maxWeight });
  const hand = async (over: Parameters<typeof submission>[1]) => {
    const request = submission(nodes, { strategyName: "bounds", ...over });
    const { submission: taken } = await gatewayOf().submitStrategy(request);
    await completed(taken!.submissionId);
    return taken!.strategyId;
  };
  const id = await hand({ targets: [bound("SPX", 0.5), bound("NDX", 0)] });
  const boundsIn = async (world: string) => {
    const bounds = await weightBoundsOf(rig.db, world, [id, "s-unknown"]);
    return [...bounds].map(([strategy, of]) => [strategy, [...of]]);
  };

  expect(await boundsIn("w1")).toEqual([[id, [["SPX", 0.5]]]]);
  await hand({ worldIds: [], targets: [bound("SPX", 2)] });
  expect(await boundsIn("w1")).toEqual([[id, [["SPX", 0.5]]]]);
  expect(await boundsIn("w2")).toEqual([[id, [["SPX", 2]]]]);
  await hand({ targets: [bound("SPX", 0.75)] });
  expect(await boundsIn("w1")).toEqual([[id, [["SPX", 0.75]]]]);
});

test("bars of weeks and months are taken, of other lengths above a week refused by the field", async () => {
  const ofLength = (seconds: number) => {
    const bars = node("StreamInput", [], { seconds }, seconds);
    const request = submission([bars], { strategyName: "slow", validateOnly: true });
    return gatewayOf().submitStrategy(request);
  };

  for (const seconds of [432_000, 604_800, 2_629_746, 31_556_952]) {
    expect((await ofLength(seconds)).submission?.state).toBe(SubmissionState.COMPLETED);
  }
  for (const seconds of [604_801, 2_592_000]) {
    await expect(ofLength(seconds)).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      fields: [{ field: "graph.nodes[0].interval_seconds" }],
    });
  }
  const monthly = node("StreamInput", [], {}, 2_629_746);
  const continuous = { ...monthly, source: { source: "feed", schedule: Schedule.CONTINUOUS } };
  const refused = gatewayOf().submitStrategy(submission([continuous]));
  await expect(refused).rejects.toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "graph.nodes[0].source.schedule" }],
  });
});

test("a dry run answers what would come and stores nothing", async () => {
  const request = submission([source, node("ema", [source])], { validateOnly: true });
  const { submission: seen } = await gatewayOf().submitStrategy(request);
  expect(seen).toMatchObject({ state: SubmissionState.COMPLETED, contexts: [{ asOf: "snap" }] });
  await expect(
    gatewayOf().getSubmission({ submissionId: seen!.submissionId }),
  ).rejects.toMatchObject({ reason: "SUBMISSION_NOT_FOUND" });
});

test.each([
  {
    what: "of another domain",
    over: { domain: ExecutionDomain.DRYRUN },
    field: "domain",
    reason: "INVALID_FIELD",
  },
  {
    what: "whose bucket ends do not increase",
    over: { bucketEndMs: [2, 1] },
    field: "bucket_end_ms",
    reason: "SERIES_INVALID",
  },
  {
    what: "of no whole seconds",
    over: { interval: { seconds: -1n } },
    field: "interval",
    reason: "SERIES_INVALID",
  },
])(
  "a backtest $what is refused by its field, in a dry run as well",
  async ({ over, field, reason }) => {
    const series = { interval: { seconds: 86_400n }, periodsPerYear: 252, returns: [0.01, 0.02] };
    for (const validateOnly of [true, false]) {
      const backtest = { ...series, ...over };
      const request = submission([source], { strategyName: "tried", validateOnly, backtest });

      await expect(gatewayOf().submitStrategy(request)).rejects.toMatchObject({
        reason,
        fields: [{ field: `backtest.${field}` }],
      });
    }
  },
);

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
  expect(await completed(submissionId)).toMatchObject({
    state: SubmissionState.COMPLETED,
    stateReason: "",
  });
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
    "a source without a pin": [submission([feed], { asOf: "" }), "CONTEXT_INCOMPLETE", "pins"],
    "a pin of a source it does not read": [
      submission([feed], { asOf: "", pins: [pin, { source: "other", fingerprint: "f" }] }),
      "INVALID_FIELD",
      "pins[1].source",
    ],
    "a source pinned twice": [
      submission([feed], { asOf: "", pins: [pin, pin] }),
      "INVALID_FIELD",
      "pins[1].source",
    ],
    "pins beside a text that pins every source": [
      submission([feed], { pins: [pin] }),
      "INVALID_FIELD",
      "pins",
    ],
    "the as-of of what reads no source": [
      submission([feed], { asOf: "none" }),
      "INVALID_FIELD",
      "as_of",
    ],
    "a target that is no node of it": [
      submission([source], { targets: [{ ...target, nodeId: reader.nodeId }] }),
      "INVALID_FIELD",
      "targets[0].node_id",
    ],
    "two targets of one instrument": [
      submission([source], { targets: [target, target] }),
      "INVALID_FIELD",
      "targets[1].instrument",
    ],
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

describe("what strategies read is pinned", () => {
  const contextsOf = async (
    over: Parameters<typeof submission>[1],
    nodes: readonly TestNode[] = [feed],
  ) => {
    const request = submission(nodes, over);
    const { submission: taken } = await gatewayOf().submitStrategy(request);
    return (await completed(taken!.submissionId)).contexts;
  };

  test("by a pin for each source, which makes the as-of", async () => {
    const contexts = await contextsOf({ strategyName: "pinned", asOf: "", pins: [pin] });
    expect(contexts).toMatchObject([{ asOf: "f1", pins: [pin] }]);
  });

  test("by nothing where no source is read", async () => {
    const contexts = await contextsOf({ strategyName: "free", asOf: "" }, [source]);
    expect(contexts).toMatchObject([{ asOf: "none", pins: [] }]);
  });
});

describe("the queues of a submission", () => {
  const chain = [source];
  for (let at = 0; at < 9; at += 1) chain.push(node("chain", [chain.at(-1)!], { at }));

  test("come page by page, inputs before readers; a token belongs to its filters", async () => {
    const request = submission(chain, { strategyName: "pages" });
    const { submission: taken } = await gatewayOf().submitStrategy(request);
    const { submissionId } = taken!;
    await completed(submissionId);
    const list = (over: object) => gatewayOf().listNodeAssignments({ submissionId, ...over });

    const ids: string[] = [];
    let pageToken = "";
    do {
      const page = await list({ pageSize: 4, pageToken });
      ids.push(...page.assignments.map(({ queue }) => queue!.nodeId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(ids).toEqual(chain.map(({ nodeId }) => nodeId));
    expect((await list({ worldId: "w1" })).assignments).toHaveLength(10);

    const { nextPageToken } = await list({ pageSize: 4 });
    await expect(list({ worldId: "w1", pageToken: nextPageToken })).rejects.toMatchObject({
      reason: "PAGE_TOKEN_INVALID",
    });
    await expect(list({ worldId: "w9" })).rejects.toMatchObject({ reason: "WORLD_NOT_FOUND" });
    await expect(list({ submissionId: "none" })).rejects.toMatchObject({
      reason: "SUBMISSION_NOT_FOUND",
    });
  });

  test("are not there before it is completed", async () => {
    rig.dag.isDown = true;
    const request = submission(chain, { strategyName: "waiting" });
    const { submission: taken } = await gatewayOf().submitStrategy(request);
    const { submissionId } = taken!;
    await expect(gatewayOf().listNodeAssignments({ submissionId })).rejects.toMatchObject({
      reason: "CONFLICT",
      code: Code.FailedPrecondition,
    });
    rig.dag.isDown = false;
    await completed(submissionId);
  }, 40_000);
});

test("strategies are listed newest first, by name and world, with who handed them in first", async () => {
  const client = gatewayOf();
  for (const [strategyName, strategyVersion] of [
    ["listed", "v1"],
    ["listed", "v2"],
    ["listed too", "v1"],
  ] as const) {
    const of = strategyVersion === "v2" ? [source, reader] : [source];
    const request = { ...submission(of, { strategyName }), strategyVersion };
    const { submission: taken } = await client.submitStrategy(request);
    await completed(taken!.submissionId);
  }
  const { strategies } = await client.listStrategies({ strategyName: "listed" });
  expect(strategies.map(({ strategyVersion }) => strategyVersion)).toEqual(["v2", "v1"]);
  expect(strategies[0]).toMatchObject({
    strategyName: "listed",
    worldIds: ["w1"],
    principal: "local",
  });

  const first = await client.listStrategies({ worldId: "w1", pageSize: 2 });
  expect(first.strategies.map(({ strategyName }) => strategyName)).toEqual([
    "listed too",
    "listed",
  ]);
  const next = { worldId: "w1", pageSize: 2, pageToken: first.nextPageToken };
  expect((await client.listStrategies(next)).strategies[0]!.strategyVersion).toBe("v1");
  await expect(client.listStrategies({ pageToken: first.nextPageToken })).rejects.toMatchObject({
    reason: "PAGE_TOKEN_INVALID",
  });
  await expect(client.listStrategies({ worldId: "w9" })).rejects.toMatchObject({
    reason: "WORLD_NOT_FOUND",
  });
  expect((await client.listStrategies({ strategyName: "nobody" })).strategies).toEqual([]);
});

test("the gateway binds, in the submitter's name", async () => {
  const { submission: taken } = await gatewayOf().submitStrategy(
    submission([source], { strategyName: "bound" }),
  );
  await completed(taken!.submissionId);
  expect(rig.world.binders.at(-1)).toEqual({ name: "local", role: "gateway" });
});

test("of two submissions at the same moment, on replayed and on live sources, the world refuses one as CLOCK_MIXED", async () => {
  rig.dag.isDown = true;
  const schedule = Schedule.OBSERVED;
  const hand = (strategyName: string, adapter: string) => {
    const stream = { ...source, source: { source: strategyName, schedule, adapter } };
    return gatewayOf().submitStrategy(submission([stream], { strategyName }));
  };

  const ends = await Promise.allSettled([
    hand("recorded", "csv-replay"),
    hand("current", "socket"),
  ]);

  const refused = ends.flatMap((end): unknown[] => (end.status === "rejected" ? [end.reason] : []));
  expect(refused).toMatchObject([{ reason: "CLOCK_MIXED", fields: [{ field: "world_ids[0]" }] }]);
  rig.dag.isDown = false;
  for (const end of ends)
    if (end.status === "fulfilled") await completed(end.value.submission!.submissionId);
}, 40_000);
