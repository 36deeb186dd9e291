import { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { payloadBytesMax } from "@qmtl/service-kit/bus";
import { eventsOf } from "@qmtl/service-kit/control";
import { ManualClock, openTestPglite } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { readGate, updateGate } from "../store/gate-table.ts";
import { openWorldService } from "../testing/open-world-service.ts";

test("a world with 4,000 activated strategies is frozen, although its gate is too large for an event", async () => {
  await using host = await openTestPglite();
  const open = () => openWorldService((schema) => host.db(schema), new ManualClock());
  const worldId = "large";
  const before = await open();
  const world = { worldId, clock: WorldClock.WALL, accountId: "account-large" };
  await before.call(WorldService.method.createWorld, { world });
  await before.instance.stop();
  const { row, holdReasons } = (await readGate(before.db, worldId))!;
  const activations = Array.from({ length: 4_000 }, (_, at) => `s-${"x".repeat(60)}-${at}`)
    .sort()
    .flatMap((strategyId) =>
      (["long", "short"] as const).map((side) => {
        const open = { active: true, weight: 1, freeze: false, drain: false };
        return { strategyId, side, ...open, effectiveMode: "paper" as const };
      }),
    );
  await updateGate(before.db, { ...row, activations }, holdReasons, row.revision);

  const w = await open();
  const freeze = { worldId, hold: HoldKind.MANUAL, reason: "lunch" };
  const { gate } = await w.call(ActivationService.method.freeze, freeze);

  expect(gate).toMatchObject({ fence: 2n, holds: [{ kind: HoldKind.MANUAL, reason: "lunch" }] });
  expect(gate?.activations).toHaveLength(8_000);
  const [last] = await w.db.query<{ type: string; payload: Uint8Array }>(
    "select type, payload from world.outbox where key = 'world/large/gate' order by id desc limit 1",
  );
  expect(last!.payload.length).toBeLessThanOrEqual(payloadBytesMax);
  const [event] = eventsOf(last!.type, last!.payload);
  const { revision, stateHash } = gate!;
  expect(event).toMatchObject({ type: "gate_event", revision, stateHash, payload: {} });
  expect(event?.payload.case).toBeUndefined();
  await w.instance.stop();
}, 60_000);
