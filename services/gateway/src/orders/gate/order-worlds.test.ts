import { silentLogger } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { replayWorld } from "../testing/order-bench.ts";
import { OrderWorlds, settingsSeenMsMax } from "./order-worlds.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

function rig() {
  const clock = new ManualClock();
  const held = new Set<string>();
  const told = { world: replayWorld, isDown: false, written: 0 };
  const db: Queryable = {
    query: async () => {
      told.written += 1;
      return [];
    },
    script: async () => {},
  };
  const worlds = new OrderWorlds({
    db,
    clock,
    logger: silentLogger,
    peer: {
      world: async () => {
        if (told.isDown) throw new Error("no answer");
        return told.world;
      },
    },
    accounts: { holds: (account) => held.has(account) },
  });
  return { clock, held, told, worlds };
}

test("changed settings are seen within two seconds, and stored once", async () => {
  const { clock, told, worlds } = rig();
  await worlds.read("w1");
  const stop = new AbortController();
  const following = worlds.follow(() => ["w1"], stop.signal);
  await settle();
  told.world = { ...replayWorld, source: "other", maxLagMs: 1 };
  clock.advance(settingsSeenMsMax / 2);
  await settle();
  clock.advance(settingsSeenMsMax / 2);
  await settle();
  expect(worlds.all.get("w1")).toEqual(told.world);
  expect(told.written).toBe(2);
  stop.abort();
  await following;
});

test("while WorldService is silent the last settings stand", async () => {
  const { told, worlds } = rig();
  await expect(Promise.resolve(worlds.read("w1"))).resolves.toEqual(replayWorld);
  told.isDown = true;
  expect(await worlds.read("w1")).toEqual(replayWorld);
  await expect(rig().worlds.read("w1")).resolves.toEqual(replayWorld);
});

test("a world moves to another account only once the former one holds nothing of it", async () => {
  const { held, told, worlds } = rig();
  await worlds.read("w1");
  held.add("paper");
  told.world = { ...replayWorld, accountId: "second", maxLagMs: 5 };
  expect(await worlds.read("w1")).toEqual({ ...replayWorld, maxLagMs: 5 });
  held.clear();
  expect(await worlds.read("w1")).toEqual(told.world);
});
