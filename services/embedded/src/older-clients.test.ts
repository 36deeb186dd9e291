import {
  type DescMessage,
  type DescMethod,
  getOption,
  type JsonObject,
  type JsonValue,
  toJson,
} from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { FieldBehavior, field_behavior } from "@qmtl/contracts/google/api/field_behavior_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { EffectiveMode, ExecutionDomain, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  ActivationService,
  UpdateActivationRequestSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  WorldClock,
  WorldSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { foreignSubmission } from "./testing/foreign-submission.ts";
import { gatewayContracts } from "./testing/gateway-contracts.ts";
import { type KeyedPlatform, startKeyedPlatform } from "./testing/keyed-platform.ts";

const worldId = "w";
const reason = "the test";
const TIMERS = {
  ...{ lease: "2s", renewInterval: "0.500s", margin: "0.300s", emitMax: "0.200s" },
  ...{ freezeTimeout: "120s", switchAck: "6s", sessionDead: "3s" },
};
/** Every setting of a world, none at its default. */
const SETTINGS = {
  ...{ displayName: "Set", accountId: "main", allowLive: true, maxLag: "3600s" },
  ...{ decisionTtl: "600s", onDemote: "DEMOTE_POLICY_KEEP" },
  ...{ onLeaseLost: "LEASE_LOST_POLICY_HOLD", reduceOnlyWhenShut: true, cancelProtective: true },
  ...{ paperTimers: TIMERS, liveTimers: TIMERS },
} satisfies JsonObject;
const ACTIVATION = { weight: 0.5, freeze: true, drain: true };

let platform: KeyedPlatform;
let strategyIds: readonly string[];
beforeAll(async () => {
  platform = await startKeyedPlatform();
  strategyIds = [await submitted("A"), await submitted("B")];
  const returns = strategyIds.map((strategyId) => ({ strategyId, series: RETURNS }));
  await client().client(DecisionService).reportReturns({ worldId, returns });
  const document = "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}";
  await client().client(PolicyService).createPolicy({ worldId, document, requestId: "p" });
  const run = { runId: "r", targetMode: EffectiveMode.COMPUTE_ONLY, reason };
  for await (const _ of client()
    .client(ActivationService)
    .apply({ worldId, ...run }));
}, 120_000);
afterAll(() => platform?.[Symbol.asyncDispose]());

const client = () => platform.connection("owner");

/** Returns of a backtest that may go to compute-only. */
const RETURNS = {
  interval: durationFromMs(86_400_000),
  periodsPerYear: 252,
  domain: ExecutionDomain.BACKTEST,
  returns: Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? 0.02 : -0.01)),
};

async function submitted(name: string): Promise<string> {
  const gateway = client().client(GatewayService);
  const { submission } = await gateway.submitStrategy(foreignSubmission(name, [worldId]));
  const { submissionId, strategyId } = submission!;
  for await (const _ of gateway.watchSubmission({ submissionId }));
  return strategyId;
}

/** Fails when the call is refused. */
async function send(method: DescMethod, request: JsonObject): Promise<void> {
  const { refusal } = await platform.call("owner", method, request);
  if (refusal !== undefined) throw refusal;
}

/** Every message that lacks one field of `whole`, or one of a message in it; by the name of what it lacks. */
function lackingOne(whole: JsonObject): [name: string, message: JsonObject][] {
  return Object.entries(whole).flatMap(([name, value]): [string, JsonObject][] => {
    const { [name]: _, ...rest } = whole;
    const isMessage = typeof value === "object" && value !== null && !Array.isArray(value);
    const deeper = isMessage ? lackingOne(value) : [];
    const inner = deeper.map(([path, message]): [string, JsonObject] => [
      `${name}.${path}`,
      { ...whole, [name]: message },
    ]);
    return [[name, rest], ...inner];
  });
}

/** Whether a message has all that is wanted, deeply. */
function includes(message: JsonValue | undefined, wanted: JsonValue): boolean {
  if (typeof wanted !== "object" || wanted === null || Array.isArray(wanted))
    return message === wanted;
  if (typeof message !== "object" || message === null || Array.isArray(message)) return false;
  return Object.entries(wanted).every(([name, value]) => includes(message[name], value));
}

const fieldsOf = (message: DescMessage, but: readonly string[]) =>
  message.fields.map(({ jsonName }) => jsonName).filter((name) => !but.includes(name));

const UPDATES = [
  ...["ActivationService.UpdateActivation", "DecisionService.SetDecisions"],
  ...["PolicyService.SetDefaultPolicy", "RebalancingService.UpsertAllocations"],
  ...[
    "WorldService.UpdateWorld",
    "WorldService.UpsertEdgeOverride",
    "WorldService.UpsertWorldNode",
  ],
  // Their fields belong to a session's ticket: stated anew, not kept.
  ...["OrderService.SetTargets", "QueueService.PutSnapshots"],
];

test("every method that changes what is there is known here", () => {
  const methods = gatewayContracts.flatMap(({ methods: all }) => all as readonly DescMethod[]);
  const changing = methods.filter(({ name }) =>
    /^(Update|Set|Upsert|Put|Patch|Replace)/.test(name),
  );

  expect(changing.map(({ parent, name }) => `${parent.name}.${name}`).sort()).toEqual(
    [...UPDATES].sort(),
  );
});

test("UpdateWorld of a client that lacks any one setting leaves that setting, with and without a mask", async () => {
  const fixed: readonly FieldBehavior[] = [
    ...[FieldBehavior.OUTPUT_ONLY, FieldBehavior.IMMUTABLE, FieldBehavior.IDENTIFIER],
  ];
  const settable = WorldSchema.fields.filter(
    (field) => !getOption(field, field_behavior).some((one) => fixed.includes(one)),
  );
  expect(settable.map(({ jsonName }) => jsonName).filter((name) => name !== "etag")).toEqual(
    Object.keys(SETTINGS),
  );
  const { updateWorld } = WorldService.method;
  // Live is for a world of the wall clock alone.
  const wall = "wall";
  const worlds = client().client(WorldService);
  const made = { worldId: wall, clock: WorldClock.WALL, accountId: "main" };
  await worlds.createWorld({ world: made, requestId: wall });
  const read = async () => {
    const { world } = await worlds.getWorld({ worldId: wall });
    return toJson(WorldSchema, world!);
  };
  await send(updateWorld, { world: { worldId: wall, ...SETTINGS } });
  expect(await read()).toMatchObject(SETTINGS);

  const wiped: string[] = [];
  const messages = lackingOne(SETTINGS);
  for (const [name, message] of messages) {
    await send(updateWorld, { world: { worldId: wall, ...message } });
    const after = await read();
    if (!includes(after, SETTINGS)) wiped.push(name);
    await send(updateWorld, { world: { worldId: wall, ...message }, updateMask: "displayName" });
    if (name !== "displayName" && !includes(await read(), SETTINGS)) wiped.push(`${name}, masked`);
    await send(updateWorld, { world: { worldId: wall, ...SETTINGS } });
  }
  expect(wiped).toEqual([]);
  expect(messages.length).toBe(Object.keys(SETTINGS).length + 2 * Object.keys(TIMERS).length);
}, 60_000);

test("UpdateActivation of a client that lacks a field leaves it, and the other side", async () => {
  const keys = ["schemaVersion", "worldId", "strategyId", "sides", "etag", "reason"];
  expect(fieldsOf(UpdateActivationRequestSchema, keys)).toEqual(Object.keys(ACTIVATION));
  const { updateActivation } = ActivationService.method;
  const [strategyId = ""] = strategyIds;
  const sides = async () => {
    const { gate } = await client().client(ActivationService).getActivation({ worldId });
    const own = gate?.activations.filter((one) => one.strategyId === strategyId) ?? [];
    return Object.fromEntries(
      own.map(({ side, weight, freeze, drain }) => [
        side === Side.LONG ? "long" : "short",
        { weight, freeze, drain },
      ]),
    );
  };
  const long = { worldId, strategyId, sides: ["SIDE_LONG"], reason };
  const { short } = await sides();
  await send(updateActivation, { ...long, ...ACTIVATION });

  for (const [, message] of lackingOne(ACTIVATION)) {
    await send(updateActivation, { ...long, ...message });
    expect(await sides()).toEqual({ long: ACTIVATION, short });
  }
});

test("UpsertAllocations of a client that knows no shares, or not all strategies, leaves theirs", async () => {
  const { upsertAllocations } = RebalancingService.method;
  const [first = "", second = ""] = strategyIds;
  const read = async () => {
    const { allocations } = await client().client(RebalancingService).listAllocations({ worldId });
    const [{ ratio, strategies } = { ratio: 0, strategies: [] }] = allocations;
    return { ratio, ...Object.fromEntries(strategies.map((one) => [one.strategyId, one.share])) };
  };
  const set = (requestId: string, allocation: JsonObject) =>
    send(upsertAllocations, { requestId, reason, allocations: [{ worldId, ...allocation }] });
  const shareOf = (strategyId: string, share: number) => ({ strategyId, share });
  await set("whole", { ratio: 0.8, strategies: [shareOf(first, 0.4), shareOf(second, 0.3)] });

  await set("no shares", { ratio: 0.7 });
  expect(await read()).toEqual({ ratio: 0.7, [first]: 0.4, [second]: 0.3 });
  await set("one share", { ratio: 0.7, strategies: [shareOf(first, 0.2)] });
  expect(await read()).toEqual({ ratio: 0.7, [first]: 0.2, [second]: 0.3 });
});

test("what is set as a whole is refused without the field that says what it is", async () => {
  const refusalOf = async (method: DescMethod, request: JsonObject) => {
    const { refusal } = await platform.call("owner", method, request);
    return refusal?.fields.map(({ field }) => field);
  };
  const nodeId = `blake3:${"1".repeat(64)}`;
  const { upsertWorldNode, upsertEdgeOverride } = WorldService.method;
  const node = { worldId, nodeId, executionDomain: "EXECUTION_DOMAIN_BACKTEST" };
  expect(await refusalOf(upsertWorldNode, { node })).toEqual(["node.status"]);
  const { executionDomain: _, ...bare } = node;
  const status = "NODE_STATUS_VALID";
  expect(await refusalOf(upsertWorldNode, { node: { ...bare, status } })).toEqual([
    "node.execution_domain",
  ]);
  expect(await refusalOf(upsertEdgeOverride, { edge: { worldId, source: "a" } })).toEqual([
    "edge.target",
  ]);
  expect(await refusalOf(PolicyService.method.setDefaultPolicy, { worldId })).toEqual(["version"]);
});
