import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openGatewayRig } from "../testing/gateway-rig.ts";

type Rig = Awaited<ReturnType<typeof openGatewayRig>>;
let rig: Rig;
beforeAll(async () => {
  rig = await openGatewayRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

const worlds = () => rig.client(WorldService);
const worldId = "w1";
const wall = { worldId, clock: WorldClock.WALL };

describe("a world names only what the gateway has", () => {
  test("an account it does not have is NOT_FOUND when the world is made and when it is changed", async () => {
    const refused = {
      reason: "ACCOUNT_NOT_FOUND",
      metadata: { account_id: "nobody" },
      fields: [{ field: "world.account_id" }],
    };
    const world = { ...wall, accountId: "nobody" };
    await expect(worlds().createWorld({ world, requestId: "r" })).rejects.toMatchObject(refused);
    await expect(worlds().updateWorld({ world })).rejects.toMatchObject(refused);
    const updateMask = { paths: ["account_id"] };
    await expect(worlds().updateWorld({ world, updateMask })).rejects.toMatchObject(refused);
  });

  test("a name of no account, such as that of an object's own method, is none either", async () => {
    const world = { ...wall, accountId: "constructor" };
    await expect(worlds().createWorld({ world, requestId: "r" })).rejects.toMatchObject({
      reason: "ACCOUNT_NOT_FOUND",
    });
  });

  test("a source it does not have is NOT_FOUND", async () => {
    const world = { worldId, clock: WorldClock.REPLAY, source: "nothing" };
    await expect(worlds().createWorld({ world, requestId: "r" })).rejects.toMatchObject({
      reason: "SOURCE_NOT_FOUND",
      fields: [{ field: "world.source" }],
    });
  });

  test("a field that the mask does not name is not looked at", async () => {
    const world = { ...wall, displayName: "New", accountId: "nobody" };
    const updateMask = { paths: ["display_name"] };
    expect((await worlds().updateWorld({ world, updateMask })).world?.displayName).toBe("New");
    expect((await worlds().createWorld({ world: wall, requestId: "r" })).world?.worldId).toBe("w1");
  });
});
