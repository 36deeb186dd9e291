import { type ControlEvent, Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ControlStory } from "./control-story.ts";
import type { Fault, WireSubscriber } from "./wire-subscriber.ts";

const seed = Number(process.env.QMTL_CONTROL_SEED ?? 1);
const deeds = Number(process.env.QMTL_CONTROL_DEEDS ?? 25);

let story: ControlStory;
beforeAll(async () => {
  story = await ControlStory.begin(seed);
}, 240_000);
afterAll(() => story?.[Symbol.asyncDispose](), 120_000);

/** Names in the snapshots and changes that a subscriber received. */
function told({ events }: WireSubscriber, names: (event: ControlEvent) => readonly string[]) {
  const all = new Set(events.flatMap(names));
  return { without: (wanted: readonly string[]) => wanted.filter((name) => !all.has(name)) };
}

const stateOf = ({ payload }: ControlEvent) =>
  payload.case === "snapshot" ? payload.value.state.value : payload.value;
const haltsIn = (event: ControlEvent) => {
  const state = stateOf(event);
  return state?.$typeName === "qmtl.control.v1.HaltsState"
    ? state.halts.map(({ haltId }) => haltId)
    : [];
};
const ordersIn = (event: ControlEvent) => {
  const state = stateOf(event);
  if (state?.$typeName === "qmtl.order.v1.Order") return [state.clientOrderId];
  return state?.$typeName === "qmtl.control.v1.OrdersState"
    ? state.orders.map(({ clientOrderId }) => clientOrderId)
    : [];
};
const batchesIn = (event: ControlEvent) => {
  const state = stateOf(event);
  return state?.$typeName === "qmtl.control.v1.RebalancingState" ? [state.batchId] : [];
};
const policiesIn = (event: ControlEvent) => {
  const state = stateOf(event);
  return state?.$typeName === "qmtl.control.v1.PolicyState" ? [`${state.policyVersion}`] : [];
};
const completedIn = (event: ControlEvent) => {
  const state = stateOf(event);
  const isCompleted =
    state?.$typeName === "qmtl.graph.v1.Submission" && state.state === SubmissionState.COMPLETED;
  return isCompleted ? [state.strategyId] : [];
};

/** Number of changes applied per topic. */
function changesByTopic({ events }: WireSubscriber): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { topicKey, payload } of events) {
    const topic = topicKey.split("/").find((part) => part !== "world" && part !== "crash") ?? "";
    if (payload.case !== "snapshot") counts[topic] = (counts[topic] ?? 0) + 1;
  }
  return counts;
}

test("through kills and cuts a subscriber receives each change once, and holds at the end what is stored", async () => {
  await story.tell(deeds);

  await story.agree(story.world);
  await story.agree(story.submissions);
  const { world, submissions, operator } = story;
  const { halts, policies, batches } = operator.acknowledged;
  expect(told(world, haltsIn).without([...halts])).toEqual([]);
  expect(told(world, policiesIn).without([...policies].map(String))).toEqual([]);
  expect(told(world, batchesIn).without(batches.map(({ batchId }) => batchId))).toEqual([]);
  expect(told(world, ordersIn).without(await operator.orderIds())).toEqual([]);
  expect(told(submissions, completedIn).without(story.submitted)).toEqual([]);
  const capital = world.held.get("world/crash/rebalancing")?.snapshot.state.value;
  expect(capital).toMatchObject(batches.at(-1) ?? { batchId: "" });
  expect([world.violation, submissions.violation]).toEqual([undefined, undefined]);
  const topics = ["gate", "policy", "queue", "order", "halt", "rebalancing", "feed"];
  const changes = changesByTopic(world);
  expect(topics.filter((topic) => (changes[topic] ?? 0) === 0)).toEqual([]);
}, 1_800_000);

const faults: readonly (readonly [Fault, RegExp])[] = [
  ["resumes too late", /^halt: 1\/\d+ after 1\/\d+$/],
  ["resumes too early", /^halt: 1\/\d+ after 1\/\d+$/],
];
test.each(faults)(
  "a subscriber that %s is found out",
  async (fault, violation) => {
    await using subscriber = story.subscriber([Topic.HALT]);
    subscriber.connect();
    await story.operator.halt();
    await story.agree(subscriber);
    await subscriber.cut();
    await story.operator.resumeAll();
    for (let halts = 0; halts < 3; halts += 1) await story.operator.halt();

    subscriber.fault = fault;
    await expect(story.agree(subscriber)).rejects.toThrow(violation);
  },
  120_000,
);
