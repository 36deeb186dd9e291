import { expect, test } from "vitest";
import type { AccountHolder } from "./account-lease-store.ts";
import { LeaseWatch } from "./lease-watch.ts";

const lease = (expireTime: string, epoch = 1, accountId = "main"): AccountHolder => ({
  ...{ accountId, epoch, expireTime, holder: "h", gatewayId: "g", host: "h", pid: 1 },
  ...{ startTimeMs: 0, remainingMs: -5_000, isGivenBack: false },
});

/** Looks every 500 ms, from one time to another. */
function look(watch: LeaseWatch, expireTime: string, fromMs: number, toMs: number): void {
  for (let atMs = fromMs; atMs <= toMs; atMs += 500) watch.saw([lease(expireTime)], atMs, atMs);
}

const silentOf = (watch: LeaseWatch) => [...watch.silent.keys()];

test("a lease is silent once it was seen unchanged for its whole time, however long ago it ended", () => {
  const watch = new LeaseWatch(2_000, 500);

  look(watch, "12:00:00", 0, 1_500);
  expect(silentOf(watch)).toEqual([]);
  look(watch, "12:00:00", 2_000, 2_000);

  expect(watch.silent).toEqual(new Map([["main", "1 12:00:00"]]));
});

test("a renewal, and a taking by another, begin the watch anew", () => {
  const watch = new LeaseWatch(2_000, 500);
  look(watch, "12:00:00", 0, 1_500);

  look(watch, "12:00:02", 2_000, 3_500);
  expect(silentOf(watch)).toEqual([]);
  watch.saw([lease("12:00:02", 2)], 4_000, 4_000);

  expect(silentOf(watch)).toEqual([]);
  expect(watch.hasChanged(lease("12:00:02", 2))).toBe(true);
});

test("the time of an outage does not count, neither where looks fail nor where they are late", () => {
  const watch = new LeaseWatch(2_000, 500);
  look(watch, "12:00:00", 0, 1_500);

  watch.sawNothing();
  look(watch, "12:00:00", 60_000, 61_000);
  watch.saw([lease("12:00:00")], 120_000, 180_000);
  expect(silentOf(watch)).toEqual([]);
  look(watch, "12:00:00", 180_500, 180_500);

  expect(silentOf(watch)).toEqual(["main"]);
});

test("each account is watched by itself", () => {
  const watch = new LeaseWatch(1_000, 500);
  for (const [at, time] of ["a", "b", "c"].entries()) {
    const atMs = at * 500;
    watch.saw([lease("12:00:00"), lease(time, 1, "alone")], atMs, atMs);
  }

  expect(silentOf(watch)).toEqual(["main"]);
  expect(watch.hasChanged(lease("12:00:00"))).toBe(false);
});
