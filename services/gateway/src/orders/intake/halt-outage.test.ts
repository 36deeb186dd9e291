import { hasReason } from "@qmtl/sdk/rpc";
import { DbError, type PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { orderEvents } from "../rpc/order-events.ts";
import { HaltStore } from "../store/halt-store.ts";
import { type Halt, Halts } from "../store/halts.ts";
import { emittedTopic } from "../testing/emitted-topics.ts";
import { OrderBench } from "../testing/order-bench.ts";
import { HaltsLost } from "./unstored-halts.ts";

let host: PgliteHost;
let bench: OrderBench;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());
afterEach(async () => {
  bench.db.isDown = false;
  bench.db.goOn();
  await bench.orders.stop().catch((failure: unknown) => {
    if (!(failure instanceof HaltsLost)) throw failure;
  });
});

const everything = { scope: "all", target: "" } as const;
const world = { scope: "world", target: "w1" } as const;

/** On paper, with a working order. */
async function openWorking(): Promise<void> {
  bench = await OrderBench.open(host);
  await bench.bar(0, 100);
  await bench.promote({ A: 0.4 });
  await bench.end("A", 0, 1);
}

const haltErrors = () =>
  bench.errors.map(({ text }) => text).filter((text) => text.startsWith("halt"));

const isStored = (haltId: string): boolean => bench.orders.halts.isStored(haltId);

test("a halt is in force while the database is down, says that it is not stored, and is stored and done later", async () => {
  await openWorking();
  bench.db.isDown = true;

  const { halt, cancelled } = await bench.halt(world, { cancel: true });

  expect([isStored(halt.haltId), cancelled]).toEqual([false, []]);
  expect(bench.orders.halts.covering({ account: "paper", world: "w1", strategy: "A" })).toEqual(
    halt,
  );
  bench.db.isDown = false;
  await waitUntil(() => isStored(halt.haltId), { what: "the halt is stored" });
  expect((await Halts.load(bench.db)).list()).toEqual([halt]);
  expect((await bench.list()).map(({ state }) => state)).toEqual(["cancelled"]);
  const { revisions, folded, truth } = await emittedTopic(bench, "halt");
  expect([revisions, folded]).toEqual([[1], truth]);
});

test("of a halt set twice while the database is down both are carried out, once it is back", async () => {
  await openWorking();
  bench.db.isDown = true;
  const first = await bench.halt(everything);
  const second = await bench.halt(everything, { cancel: true });

  bench.db.isDown = false;
  await waitUntil(() => isStored(first.halt.haltId), { what: "the halt is stored" });

  expect(second.halt.haltId).toBe(first.halt.haltId);
  expect((await bench.list()).map(({ state }) => state)).toEqual(["cancelled"]);
});

test("a halt that is not stored when the gateway stops is named as lost at error, one that is stored is not", async () => {
  await openWorking();
  const kept = await bench.halt(world);
  bench.db.isDown = true;
  const { halt } = await bench.halt({ scope: "all", target: "" });

  const stopped = bench.orders.stop(AbortSignal.timeout(600));

  const { haltId, scope, reason, principal } = halt;
  await expect(stopped).rejects.toThrow(
    `halts that could not be stored are lost: ${haltId} of everything; set again after the start: \`qmtl halt --reason "test"\``,
  );
  const lost = bench.errors.filter(({ text }) => text.startsWith("halt lost"));
  expect(lost).toMatchObject([
    {
      text: "halt lost: it could not be stored in time and ends with this process; halt again after the start",
      fields: { haltId, scope, reason, principal, again: 'qmtl halt --reason "test"' },
    },
  ]);
  bench.db.isDown = false;
  expect((await Halts.load(bench.db)).list()).toEqual([kept.halt]);
});

test("a halt that is not stored when the gateway stops is stored as soon as the database answers, and carried out by the next", async () => {
  await openWorking();
  bench.db.isDown = true;
  const { halt } = await bench.halt(world, { cancel: true });

  const stopping = bench.orders.stop();
  bench.db.isDown = false;
  await stopping;

  expect(haltErrors()).toEqual([]);
  expect((await Halts.load(bench.db)).list()).toEqual([halt]);
  await bench.restart();
  expect(bench.orders.halts.list()).toEqual([halt]);
  expect((await bench.list()).map(({ state }) => state)).toEqual(["cancelled"]);
});

test("a halt had no answer while the database was silent: it is answered as not stored within three seconds, and stored later", async () => {
  await openWorking();
  bench.db.hang();

  const beganMs = performance.now();
  const { halt, cancelled } = await bench.halt(world, { cancel: true });

  expect(performance.now() - beganMs).toBeLessThan(4_500);
  expect([isStored(halt.haltId), cancelled]).toEqual([false, []]);
  bench.db.goOn();
  await waitUntil(() => isStored(halt.haltId), { what: "the halt is stored" });
  expect((await Halts.load(bench.db)).list()).toEqual([halt]);
  expect((await bench.list()).map(({ state }) => state)).toEqual(["cancelled"]);
});

test("a halt was lost in silence when the gateway stopped while the database was silent: it is named at the limit, with all it was asked for", async () => {
  await openWorking();
  bench.db.hang();
  // The second is not answered yet when the gateway stops.
  const { halt } = await bench.halt(everything, { cancel: true });
  const pending = bench.halt({ scope: "account", target: "paper" }, { flatten: true });
  await waitUntil(() => bench.orders.halts.list().length === 2);

  const beganMs = performance.now();
  bench.orders.drain();
  const stopped = bench.orders.stop(AbortSignal.timeout(600));
  await expect(bench.orders.storeHalts()).rejects.toThrow(HaltsLost);

  expect(performance.now() - beganMs).toBeLessThan(2_000);
  const again = [
    'qmtl halt --reason "test" --cancel',
    'qmtl halt --account paper --reason "test" --flatten',
  ];
  expect(bench.errors.map(({ fields }) => fields.again)).toEqual(again);
  expect(
    bench.warnings.filter((text) => text.startsWith("halt not stored yet while the gateway stops")),
  ).toHaveLength(2);
  bench.db.goOn();
  await expect(stopped).rejects.toThrow(`${halt.haltId} of everything, `);
  await pending;
});

test("a try to store a halt that a silent database answers before the limit of a stop counts, and the halt is carried out", async () => {
  await openWorking();
  bench.db.hang();
  const { halt } = await bench.halt(world, { cancel: true });

  const stopping = bench.orders.stop();
  await new Promise((resolve) => setImmediate(resolve));
  bench.db.goOn();
  await stopping;

  expect(haltErrors()).toEqual([]);
  expect((await Halts.load(bench.db)).list()).toEqual([halt]);
  expect((await bench.list()).map(({ state }) => state)).toEqual(["cancelled"]);
});

test("a halt that comes once the gateway stops is refused, not answered as given and lost", async () => {
  await openWorking();
  await bench.orders.stop();

  const call = bench.halt(world);

  await expect(call).rejects.toSatisfy((error) => hasReason(error, "DRAINING"));
  expect(bench.orders.halts.list()).toEqual([]);
});

test("a halt that another gateway stored is in force within a look, and stays until it is ended here, also when it is stored no longer", async () => {
  await openWorking();
  const store = new HaltStore(orderEvents);
  const halt: Halt = {
    ...{ ...world, haltId: "h-other", reason: "deposed", principal: "operator", timeMs: 5 },
  };
  const leftToDo = { cancel: true, flatten: false, accounts: ["paper"] };
  await store.leave(bench.db, halt, leftToDo, 5);

  await bench.orders.halting.takeOverStored();

  expect(bench.orders.halts.list()).toEqual([halt]);
  expect((await bench.list()).map(({ state }) => state)).toEqual(["cancelled"]);
  await bench.orders.halting.takeOverStored();
  await bench.db.transaction((tx) => store.remove(tx, world, 6));
  await bench.orders.halting.takeOverStored();
  expect(bench.orders.halts.list()).toEqual([halt]);
  await bench.resume(world);
  expect(bench.orders.halts.list()).toEqual([]);
  expect((await Halts.load(bench.db)).list()).toEqual([]);
});

test("a halt set while the one before it is being ended stays in force and stored", async () => {
  await openWorking();
  await bench.halt(world);

  const [resumed, { halt }] = await Promise.all([bench.resume(world), bench.halt(world)]);

  expect(resumed).toEqual([]);
  expect(bench.orders.halts.list()).toEqual([halt]);
  expect(isStored(halt.haltId)).toBe(true);
  expect((await Halts.load(bench.db)).list()).toEqual([halt]);
});

test("a resume that meets a look for stored halts ends the halt, in memory and in the store", async () => {
  await openWorking();
  const { halt } = await bench.halt(world);
  const { halting, halts } = bench.orders;
  // The look that PostgreSQL brings every 500 ms begins between the resume and its commit.
  const resumed = bench.resume(world);
  await Promise.all([resumed, halting.takeOverStored()]);
  await halting.takeOverStored();

  expect(halts.list()).not.toContainEqual(halt);
  expect([halts.list(), (await Halts.load(bench.db)).list()]).toEqual([[], []]);
});

test("a database that cannot write, as on a full disk, does not keep a halt from being in force, or from being stored later", async () => {
  await openWorking();
  bench.db.failure = new DbError("SQL_ERROR", "could not extend file: No space left on device", {
    sqlState: "53100",
  });
  bench.db.isDown = true;

  const { halt } = await bench.halt(world);

  expect(isStored(halt.haltId)).toBe(false);
  expect(haltErrors()).toEqual([]);
  bench.db.isDown = false;
  await waitUntil(() => isStored(halt.haltId), { what: "the halt is stored" });
  expect((await Halts.load(bench.db)).list()).toEqual([halt]);
});

test("a halt that fails for any other reason is in force all the same, and is not said to be stored", async () => {
  await openWorking();
  bench.db.failure = new DbError("SQL_ERROR", "division by zero", { sqlState: "22012" });
  bench.db.isDown = true;

  const { halt } = await bench.halt(world);

  expect(isStored(halt.haltId)).toBe(false);
  expect(haltErrors()).toEqual(["halt not stored; trying again"]);
});

test("a halt that is not stored is not ended either until the database is back", async () => {
  await openWorking();
  bench.db.isDown = true;
  const { halt } = await bench.halt(everything);

  await expect(bench.resume(everything)).rejects.toThrow("taken the database away");

  expect(bench.orders.halts.list()).toEqual([halt]);
  bench.db.isDown = false;
  await bench.resume(everything);
  expect(bench.orders.halts.list()).toEqual([]);
  await bench.orders.stop();
  expect((await Halts.load(bench.db)).list()).toEqual([]);
});

test("while the database is down a strategy that nobody here knows cannot be looked up, and is not halted", async () => {
  await openWorking();
  bench.db.isDown = true;

  const call = bench.halt({ scope: "strategy", target: "typo" });

  await expect(call).rejects.toSatisfy((error) => hasReason(error, "STORE_UNAVAILABLE"));
  expect(bench.orders.halts.list()).toEqual([]);
  const known = await bench.halt({ scope: "strategy", target: "A" });
  expect(isStored(known.halt.haltId)).toBe(false);
});
