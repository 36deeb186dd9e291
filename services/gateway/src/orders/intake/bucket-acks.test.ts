import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { countWanted, type StatedEnd } from "../store/wanted-orders.ts";
import { OrderBench } from "../testing/order-bench.ts";
import { BucketAcks } from "./bucket-acks.ts";

let host: PgliteHost;
let bench: OrderBench | undefined;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(async () => {
  await bench?.orders.stop();
  bench = undefined;
});

const end = (sessionId: string, of: Partial<StatedEnd>): StatedEnd => ({
  ...{ world: "w", sessionId, strategies: ["A"], wanted: 0, wantedBy: {}, evaluations: {} },
  ...of,
});

/** Stores an end, and tells so. */
async function store(acks: BucketAcks, stated: StatedEnd): Promise<void> {
  const planned = acks.plan(stated);
  if (planned === undefined) return;
  await bench!.db.transaction((tx) => planned.write(tx));
  planned.stored();
}

const wanted = () => Promise.all(["A", "B", "C"].map((id) => countWanted(bench!.db, "w", id)));

test("of a session with several strategies each one's wanted orders are its own, also after it was taken out", async () => {
  bench = await OrderBench.open(host);
  const acks = new BucketAcks();
  await store(acks, end("alone", { wanted: 3 }));
  const both = { strategies: ["A", "B"], wantedBy: { A: 2, B: 5, C: 0 } };
  await store(acks, end("worker", { ...both, wanted: 7 }));
  expect(await wanted()).toEqual([5, 5, 0]);

  await store(acks, end("worker", { wanted: 8, wantedBy: { A: 3, B: 5, C: 0 } }));

  expect(await wanted()).toEqual([6, 5, 0]);

  await store(acks, end("worker", { wanted: 4, wantedBy: { A: 4 } }));

  expect(await wanted()).toEqual([7, 5, 0]);
});

test("orders that a session with several strategies does not divide are counted as none of them", async () => {
  bench = await OrderBench.open(host);

  await store(new BucketAcks(), end("worker", { strategies: ["A", "B"], wanted: 7 }));

  expect(await wanted()).toEqual([0, 0, 0]);
});

test("a report is written until it is stored, and then not again", () => {
  const acks = new BucketAcks();
  const planned = acks.plan(end("s", { wanted: 7 }));

  expect(acks.plan(end("s", { wanted: 7 }))).toBeDefined();
  planned?.stored();

  expect(acks.plan(end("s", { wanted: 7 }))).toBeUndefined();
  expect(acks.plan(end("s", { wanted: 8 }))).toBeDefined();
  expect(acks.plan(end("other", {}))).toBeUndefined();
});

test("of more sessions than are remembered none is counted twice or lost", async () => {
  bench = await OrderBench.open(host);
  const acks = new BucketAcks({ sessionsMax: 2 });

  for (const round of [1, 2])
    for (const session of ["s", "t", "u", "v"]) await store(acks, end(session, { wanted: round }));

  expect(await wanted()).toEqual([8, 0, 0]);
});

test("of more strategies than are remembered those heard longest ago are forgotten, until they are heard again", () => {
  const acks = new BucketAcks({ strategiesMax: 3 });
  acks.heard("w", "A", 10);
  acks.heard("w", "B", 10);
  acks.heard("v", "C", 10);
  acks.heard("w", "A", 11);

  acks.heard("v", "D", 11);

  expect([...acks.heardOf("w")]).toEqual([["A", 11]]);
  expect([...acks.heardOf("v")]).toEqual([
    ["C", 10],
    ["D", 11],
  ]);
  for (const strategy of ["A", "B", "C", "D"]) acks.restated("w", strategy, 10);
  expect(["A", "B", "C", "D"].map((id) => acks.restatedAt("w", id))).toEqual([
    ...[undefined, 10, 10, 10],
  ]);
});
