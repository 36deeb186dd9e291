import { QmtlError } from "@qmtl/sdk/rpc";
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
  const told = {
    world: replayWorld,
    isDown: false,
    isGone: false,
    gone: 0,
    written: 0,
    answering: Promise.resolve(),
  };
  const gone = async (): Promise<void> => {
    told.gone += 1;
  };
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
        if (told.isGone) throw new QmtlError("WORLD_NOT_FOUND", "no such world");
        const { world } = told;
        await told.answering;
        return world;
      },
    },
    accounts: { holds: (account) => held.has(account), exclusive: (_, operation) => operation() },
    events: { changed: () => {}, gone },
  });
  return { clock, held, told, worlds };
}

test("changed settings are seen within two seconds, and stored once", async () => {
  const { clock, told, worlds } = rig();
  await worlds.read("w1");
  const stop = new AbortController();
  const following = worlds.follow(stop.signal);
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

test("settings that were read later stay, though an earlier reading is answered after them", async () => {
  const { told, worlds } = rig();
  await worlds.read("w1");
  let answer = (): void => {};
  told.answering = new Promise((resolve) => {
    answer = resolve;
  });
  const earlier = worlds.read("w1");
  told.answering = Promise.resolve();
  told.world = { ...replayWorld, maxLagMs: 5 };
  await worlds.readNow("w1");
  answer();
  await earlier;
  expect(worlds.all.get("w1")).toEqual(told.world);
});

test("while WorldService is silent, settings as of now are not to be had", async () => {
  const { told, worlds } = rig();
  await worlds.read("w1");
  told.isDown = true;
  await expect(worlds.readNow("w1")).rejects.toThrow("no answer");
});

test("a known world that WorldService knows no more is reported at each reading; an unknown one never is", async () => {
  const { told, worlds } = rig();
  told.isGone = true;
  await expect(worlds.read("w1")).rejects.toMatchObject({ reason: "WORLD_NOT_FOUND" });
  expect(told.gone).toBe(0);
  told.isGone = false;
  await worlds.read("w1");
  told.isGone = true;
  await worlds.read("w1");
  await worlds.read("w1");
  expect(told.gone).toBe(2);
});
