import type { DescMethod, JsonObject } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import {
  NodeStatus,
  WorldClock,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { foreignSubmission } from "./testing/foreign-submission.ts";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";

const reason = "the test";
const PAGE_FIELDS = new Set(["schema_version", "page_size", "page_token"]);

/** Returns of a backtest that may go to compute-only. */
const RETURNS = {
  interval: durationFromMs(86_400_000),
  periodsPerYear: 252,
  domain: ExecutionDomain.BACKTEST,
  returns: Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? 0.02 : -0.01)),
};

/** A list request with filters, and changes of one filter each. */
interface PagedList {
  readonly ask: JsonObject;
  readonly others: readonly JsonObject[];
}

let platform: KeyedPlatform;
let submissionIds: readonly string[];
let strategyIds: readonly string[];
let computeKey: string;
let lists: Readonly<Record<string, PagedList>>;
beforeAll(async () => {
  platform = await startKeyedPlatform({ isDoubled: true });
  await fill();
  lists = listsOf();
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

const client = () => platform.connection("owner");

/** Puts at least two rows into every list that rows come into without a trade. */
async function fill(): Promise<void> {
  const worlds = client().client(WorldService);
  const world = { worldId: "w2", clock: WorldClock.REPLAY, source: "night", accountId: "spare" };
  await worlds.createWorld({ world, requestId: "w2" });
  const done = [await submitted("A"), await submitted("B")];
  submissionIds = done.map((one) => one.submissionId);
  strategyIds = done.map((one) => one.strategyId);
  const { queues } = await client().client(QueueService).listQueueStats({});
  computeKey = queues[0]?.queue?.computeKey ?? "";
  const everything = { target: { case: "everything", value: {} } } as const;
  for (const worldId of ["w", "w2"]) {
    await fillWorld(worldId);
    const target = { target: { case: "worldId", value: worldId } } as const;
    await client().client(OrderService).halt({ target, reason });
  }
  await client().client(OrderService).halt({ target: everything, reason });
}

async function fillWorld(worldId: string): Promise<void> {
  const worlds = client().client(WorldService);
  const policies = client().client(PolicyService);
  const returns = strategyIds.map((strategyId) => ({ strategyId, series: RETURNS }));
  await client().client(DecisionService).reportReturns({ worldId, returns });
  for (const at of [1, 2]) {
    const document = `hysteresis: {metric: sharpe, enter: 0.${at}, exit: -4}`;
    await policies.createPolicy({ worldId, document, requestId: `p${at}` });
    const nodeId = `blake3:${String(at).repeat(64)}`;
    const status = { executionDomain: ExecutionDomain.BACKTEST, status: NodeStatus.VALID };
    await worlds.upsertWorldNode({ node: { worldId, nodeId, ...status } });
    await worlds.upsertEdgeOverride({
      edge: { worldId, source: nodeId, target: "n", active: true },
    });
    const run = { runId: `r${at}`, targetMode: EffectiveMode.COMPUTE_ONLY, reason };
    for await (const _ of client()
      .client(ActivationService)
      .apply({ worldId, ...run }));
  }
}

async function submitted(name: string) {
  const gateway = client().client(GatewayService);
  const { submission } = await gateway.submitStrategy(foreignSubmission(name, ["w", "w2"]));
  let last = submission;
  const { submissionId } = submission!;
  for await (const { submission: now } of gateway.watchSubmission({ submissionId })) last = now;
  if (last?.state !== SubmissionState.COMPLETED) throw new Error(last?.stateReason);
  return last;
}

/** Every list at the gateway's address, with another value of each filter, which is answered when no token is given. */
function listsOf(): Record<string, PagedList> {
  const [submissionId = "", otherSubmission = ""] = submissionIds;
  const [strategyId = ""] = strategyIds;
  const ofWorld: PagedList = { ask: { worldId: "w" }, others: [{ worldId: "w2" }] };
  const contextOf = (worldId: string) => ({
    ...{ worldId, executionDomain: "EXECUTION_DOMAIN_BACKTEST", asOf: "snapshot" },
  });
  const query = { tags: ["t"] };
  const tagged = { query, intervalSeconds: "86400", context: contextOf("w") };
  return {
    "AccountService.ListAccounts": { ask: {}, others: [] },
    "AccountService.ListPositions": { ask: {}, others: [{ accountId: "main" }, { worldId: "w" }] },
    "AccountService.ListJournal": {
      ask: { accountId: "main" },
      others: [{ accountId: "spare" }, { afterEntry: "1" }, { kinds: [1] }],
    },
    "ActivationService.ListApplyRuns": ofWorld,
    "DecisionService.ListMetrics": { ask: {}, others: [] },
    "GatewayService.ListEvents": { ask: {}, others: [{ topicKey: "halt" }] },
    "GatewayService.ListNodeAssignments": {
      ask: { submissionId },
      others: [{ submissionId: otherSubmission }, { worldId: "w" }],
    },
    "GatewayService.ListStrategies": {
      ask: {},
      others: [{ strategyName: "A" }, { worldId: "w" }],
    },
    "OrderService.ListHalts": {
      ask: {},
      others: [{ covering: { worldId: "w" } }, { covering: { accountId: "main" } }],
    },
    "OrderService.ListOrders": {
      ask: {},
      others: [
        ...[{ accountId: "main" }, { worldId: "w" }, { strategyId }, { workingOnly: true }],
      ].map((filter) => ({ filter })),
    },
    "PolicyService.ListPolicies": ofWorld,
    "QueueService.ListFeeds": {
      ask: {},
      others: [{ scope: { source: "day" } }, { scope: { worldId: "w" } }],
    },
    "QueueService.ListQueueStats": {
      ask: {},
      others: [{ strategyId }, { worldId: "w" }, { computeKeys: [computeKey] }],
    },
    "QueueService.ListQueuesByTag": {
      ask: tagged,
      others: [
        { query: { tags: ["u"] } },
        { query: { ...query, matchAll: true } },
        { intervalSeconds: "60" },
        { context: contextOf("w2") },
      ],
    },
    "RebalancingService.ListAllocations": { ask: {}, others: [{ worldId: "w" }] },
    "WorldService.ListAuditEntries": {
      ask: { worldId: "w" },
      others: [{ worldId: "w2" }, { afterEntry: "1" }],
    },
    "WorldService.ListBindings": ofWorld,
    "WorldService.ListEdgeOverrides": ofWorld,
    "WorldService.ListWorldNodes": ofWorld,
    "WorldService.ListWorlds": { ask: {}, others: [] },
  };
}

const paged = gatewayContracts
  .flatMap((service) => service.methods as readonly DescMethod[])
  .filter(({ input }) => input.fields.some(({ name }) => name === "page_token"));
const labelOf = (method: DescMethod) => `${method.parent.name}.${method.name}`;
const listOf = (method: DescMethod): PagedList => lists[labelOf(method)]!;

/** The outcome of a call as text: "answered", or the reason and fields of the refusal. */
async function ask(method: DescMethod, request: JsonObject): Promise<string> {
  const { refusal } = await platform.call("owner", method, request);
  if (refusal === undefined) return "answered";
  return `${refusal.reason} ${refusal.fields.map(({ field }) => field).join()}`;
}

/** The token of the second page; empty where there is one page only. */
async function tokenOf(method: DescMethod): Promise<string> {
  const first = { ...listOf(method).ask, pageSize: 1 };
  const outcome = await platform.call("owner", method, first);
  if (outcome.refusal !== undefined) throw outcome.refusal;
  const { answer } = outcome;
  const isPage = typeof answer === "object" && answer !== null && "nextPageToken" in answer;
  return isPage ? String(answer.nextPageToken) : "";
}

/** Their rows need a trade, or a feed that began: they have tests of their own. */
const ONE_PAGE = new Set(["OrderService.ListOrders", "AccountService.ListPositions"]);
const INVALID = "PAGE_TOKEN_INVALID page_token";

test("every list is known here, with another value of each of its filters", () => {
  expect(Object.keys(lists).sort()).toEqual(paged.map(labelOf).sort());
  for (const method of paged) {
    const fields = method.input.fields.filter(({ name }) => !PAGE_FIELDS.has(name));
    const changed = new Set(listOf(method).others.flatMap((other) => Object.keys(other)));
    const label = labelOf(method);
    expect([label, [...changed].sort()]).toEqual([
      label,
      fields.map(({ jsonName }) => jsonName).sort(),
    ]);
  }
});

test("a token goes on with the filters it is of, and is refused with any other", async () => {
  const wrong: string[] = [];
  for (const method of paged) {
    const token = await tokenOf(method);
    const label = labelOf(method);
    if (token === "") {
      if (!ONE_PAGE.has(label)) wrong.push(`${label}: one page only`);
      continue;
    }
    const { ask: own, others } = listOf(method);
    const next = await ask(method, { ...own, pageToken: token });
    if (next !== "answered") wrong.push(`${label}: its own token: ${next}`);
    for (const other of others) {
      const changed = { ...own, ...other };
      const text = `${label} ${JSON.stringify(other)}`;
      const without = await ask(method, changed);
      if (without !== "answered") wrong.push(`${text}: ${without}`);
      const outcome = await ask(method, { ...changed, pageToken: token });
      if (outcome !== INVALID) wrong.push(`${text}: ${outcome}`);
    }
  }

  expect(wrong).toEqual([]);
}, 120_000);

test("a token of another list is refused by every list", async () => {
  const tokens = new Map<string, string>();
  for (const method of paged) tokens.set(labelOf(method), await tokenOf(method));
  const wrong: string[] = [];
  for (const method of paged) {
    for (const [other, pageToken] of tokens) {
      if (other === labelOf(method) || pageToken === "") continue;
      const outcome = await ask(method, { ...listOf(method).ask, pageToken });
      if (outcome !== INVALID) wrong.push(`${labelOf(method)} with one of ${other}: ${outcome}`);
    }
  }

  expect(wrong).toEqual([]);
}, 120_000);
