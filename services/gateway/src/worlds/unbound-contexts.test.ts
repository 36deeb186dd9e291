import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { node, openGatewayRig, submission } from "../testing/gateway-rig.ts";

let rig: Awaited<ReturnType<typeof openGatewayRig>>;
let strategyId: string;
beforeAll(async () => {
  rig = await openGatewayRig();
});
afterAll(() => rig[Symbol.asyncDispose]());
beforeEach(async () => {
  await rig.db.query("delete from gateway.unbinding");
  rig.world.unbindRefusal = undefined;
  rig.world.deleted.clear();
  rig.dag.isDown = false;
  const handedIn = submission([node("StreamInput")]);
  const taken = await rig.client(GatewayService).submitStrategy(handedIn);
  const { submissionId = "" } = taken.submission ?? {};
  strategyId = taken.submission?.strategyId ?? "";
  for await (const _ of rig.client(GatewayService).watchSubmission({ submissionId }));
  rig.dag.closed.length = 0;
  rig.dag.opened.length = 0;
});

const unbind = () =>
  rig.client(WorldService).deleteBinding({ worldId: "w1", strategyId, reason: "the test" });
const bind = () =>
  rig.client(WorldService).createBindings({ worldId: "w1", strategies: [{ strategyId }] });
const rows = () => rig.db.query("select strategy_id, is_due from gateway.unbinding");

test("a strategy that is unbound has its context closed, and opened when it is bound by hand again", async () => {
  await unbind();
  expect([rig.dag.closed, rig.dag.opened]).toEqual([[strategyId], []]);
  expect(await rows()).toEqual([{ strategy_id: strategyId, is_due: false }]);

  await bind();

  expect([rig.dag.closed, rig.dag.opened.length]).toEqual([[strategyId], 1]);
});

test("the order path is told of a binding that is gone, and of one that is back", async () => {
  rig.told.length = 0;
  await unbind();
  expect(rig.told).toEqual([["bindings", "w1"]]);

  await bind();
  expect(rig.told.length).toBeGreaterThan(1);
  rig.told.length = 0;
  await rig.client(WorldService).deleteWorld({ worldId: "w1" });

  expect(rig.told).toContainEqual(["bindings", "w1"]);
});

test("binding what was never taken out opens nothing", async () => {
  await bind();

  expect(rig.dag.opened).toEqual([]);
});

test("a removal that is refused closes nothing and leaves nothing", async () => {
  rig.world.unbindRefusal = new QmtlError("CONFLICT", "a side of it is active");

  await expect(unbind()).rejects.toMatchObject({ reason: "CONFLICT" });

  expect(rig.dag.closed).toEqual([]);
  expect(await rows()).toEqual([]);
});

test("a world that is deleted has the contexts of all its strategies closed", async () => {
  await rig.client(WorldService).deleteWorld({ worldId: "w1" });

  expect(rig.dag.closed).toContain(strategyId);
  expect(rig.dag.closed.toSorted()).toEqual([...new Set(rig.world.bound)].toSorted());
});

test("a world whose deletion is refused keeps its contexts", async () => {
  rig.world.unbindRefusal = new QmtlError("CONFLICT", "a side of it is active");

  await expect(rig.client(WorldService).deleteWorld({ worldId: "w1" })).rejects.toMatchObject({
    reason: "CONFLICT",
  });

  expect(rig.dag.closed).toEqual([]);
  expect(await rows()).toEqual([]);
});

test("a world that was deleted while the answer was lost has its contexts closed all the same", async () => {
  rig.world.unbindRefusal = new QmtlError("PEER_UNAVAILABLE", "the answer was lost");
  const lost = rig.client(WorldService).deleteWorld({ worldId: "w1" });
  await expect(lost).rejects.toMatchObject({ reason: "PEER_UNAVAILABLE" });

  rig.world.deleted.add("w1");

  await waitUntil(() => rig.dag.closed.includes(strategyId), { what: "the context is closed" });
});

test("a removal stands while the DAG Manager is down, and its context is closed once that is back", async () => {
  rig.dag.isDown = true;
  await unbind();
  expect(rig.dag.closed).toEqual([]);

  rig.dag.isDown = false;

  await waitUntil(() => rig.dag.closed.length > 0, { what: "the context is closed" });
  expect(rig.dag.closed).toEqual([strategyId]);
});

test("a binding that was removed while the answer was lost has its context closed all the same", async () => {
  rig.world.unbindRefusal = new QmtlError("PEER_UNAVAILABLE", "the answer was lost");
  await expect(unbind()).rejects.toMatchObject({ reason: "PEER_UNAVAILABLE" });
  expect(rig.dag.closed).toEqual([]);

  rig.world.unbound.add(strategyId);

  await waitUntil(() => rig.dag.closed.length > 0, { what: "the context is closed" });
});

test("a gateway that starts closes the contexts that a former one left open", async () => {
  await rig.db.query(
    "insert into gateway.unbinding (world_id, strategy_id, asked_ms) values ('w1', $1, 0)",
    [strategyId],
  );
  rig.world.unbound.add(strategyId);
  const next = await rig.make();
  await next.start();

  await waitUntil(() => rig.dag.closed.length > 0, { what: "the context is closed" });

  await next.stop();
  expect(rig.dag.closed).toEqual([strategyId]);
});
