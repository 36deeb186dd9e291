import { TopicService } from "@qmtl/contracts/qmtl/control/v1/topic_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { reason, refusalOf, WireWorlds } from "../testing/wire-worlds.ts";

let all: WireWorlds;
beforeAll(async () => {
  all = await WireWorlds.open();
});
afterAll(() => all[Symbol.asyncDispose]());

const gateway = () => all.wire.as("gateway");

/** What topic REBALANCING reports for a world. */
async function told(worldId: string) {
  const topicKey = `world/${worldId}/rebalancing`;
  const { revision, changes } = await gateway().client(TopicService).getTopicState({ topicKey });
  const payload = changes.at(-1)?.payload;
  if (payload?.case !== "rebalancingUpdated") throw new Error(`not told: ${payload?.case}`);
  const { allocation, batchId, deltas } = payload.value;
  return { revision, allocation, batchId, deltas };
}

test("an executed batch is told with its position changes per world, and stays the last one", async () => {
  const [first, second] = [await all.make(), await all.make()];
  const batch = { batchId: "b1", deltasByWorld: { [first]: 2 } };
  const allocations = [
    { worldId: first, ratio: 0.4 },
    { worldId: second, ratio: 0.2 },
  ];
  const executed = { requestId: "executed", allocations, reason, batch };
  await gateway().client(RebalancingService).upsertAllocations(executed);

  expect(await told(first)).toEqual({ revision: 2n, allocation: 0.4, batchId: "b1", deltas: 2 });
  expect(await told(second)).toEqual({ revision: 2n, allocation: 0.2, batchId: "b1", deltas: 0 });

  const later = { requestId: "later", allocations: [{ worldId: first, ratio: 0.3 }], reason };
  await all.rebalancing.upsertAllocations(later);
  expect(await told(first)).toEqual({ revision: 3n, allocation: 0.3, batchId: "b1", deltas: 2 });
});

test("a world in which nothing was executed is told without a batch, a new one of its name too", async () => {
  const worldId = await all.make();
  const batch = { batchId: "b2", deltasByWorld: { [worldId]: 1 } };
  const executed = { requestId: "b2", allocations: [{ worldId, ratio: 0.4 }], reason, batch };

  expect(await told(worldId)).toEqual({ revision: 1n, allocation: 0, batchId: "", deltas: 0 });

  await gateway().client(RebalancingService).upsertAllocations(executed);
  await all.worlds().deleteWorld({ worldId });
  expect(await told(worldId)).toEqual({ revision: 3n, allocation: 0, batchId: "", deltas: 0 });
});

test("nobody but a gateway says that a batch was executed: refused, and nothing is told", async () => {
  const worldId = await all.make();
  const batch = { batchId: "made up", deltasByWorld: {} };
  const call = all.rebalancing.upsertAllocations({
    ...{ requestId: "made up", allocations: [{ worldId, ratio: 0.4 }], reason, batch },
  });

  expect(await refusalOf(call)).toEqual({ reason: "ROLE_REQUIRED", fields: ["batch"] });
  expect(await told(worldId)).toMatchObject({ revision: 1n, allocation: 0 });
});
