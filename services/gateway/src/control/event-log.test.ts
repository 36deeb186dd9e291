import { create, toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { connectTo } from "@qmtl/sdk/rpc";
import { openGrpcServer, silentLogger } from "@qmtl/service-kit";
import { type EventMessage, eventMessages } from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";
import { ManualClock, openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openGatewayRig } from "../testing/gateway-rig.ts";
import { EventLog } from "./event-log.ts";

let host: Awaited<ReturnType<typeof openTestPglite>>;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host[Symbol.asyncDispose]());

const clock = new ManualClock();
const open = (db: Db) => EventLog.open(db, { clock, logger: silentLogger });

/** The n-th event of the bus. */
function busEvent(n: number, topicKey = "world/w1/gate") {
  const event = create(ControlEventSchema, { id: `e${n}`, topicKey, revision: BigInt(n) });
  const payload = toBinary(ControlEventSchema, event);
  return { key: topicKey, partition: 0, position: n, headers: {}, payload };
}

async function emptyLog() {
  const db = host.db("gateway");
  await (await open(db)).close();
  await db.query("delete from gateway.control_event");
  return { db, log: await open(db) };
}

/** A message of the bus with several events. */
function busMessage(position: number, topicKey: string, revisions: readonly number[]) {
  const encoded = revisions.map((revision) => {
    const event = { id: `e${revision}`, topicKey, revision: BigInt(revision) };
    const bytes = toBinary(ControlEventSchema, create(ControlEventSchema, event));
    return { type: "order_updated", revision, bytes };
  });
  const [{ type, payload }] = eventMessages(encoded) as [EventMessage];
  return { key: topicKey, partition: 0, position, headers: { type }, payload };
}

const idsOf = async (log: EventLog, topicKey = "") =>
  (await log.page(topicKey, 1_000, "")).events.map(({ id }) => id);

test("what was read before a restart is told after it, and read again it is told once", async () => {
  const { db, log } = await emptyLog();
  for (const n of [1, 2, 3]) log.add(busEvent(n), 1);
  await log.close();

  const again = await open(db);
  expect(await idsOf(again)).toEqual(["e1", "e2", "e3"]);
  for (const n of [1, 2, 3, 4]) again.add(busEvent(n), 1);
  expect(await idsOf(again)).toEqual(["e1", "e2", "e3", "e4"]);
  await again.close();
});

test("pages of one key go on after a restart where they were left", async () => {
  const { db, log } = await emptyLog();
  for (let n = 1; n <= 10; n += 1) {
    const key = n % 2 === 0 ? "halt" : "world/w1/gate";
    log.add(busEvent(n, key), 1);
  }
  const first = await log.page("halt", 2, "");
  expect(first.events.map(({ id }) => id)).toEqual(["e2", "e4"]);
  await log.close();

  const again = await open(db);
  const second = await again.page("halt", 2, first.nextPageToken);
  const third = await again.page("halt", 2, second.nextPageToken);
  const told = [...second.events, ...third.events].map(({ id }) => id);
  expect(told).toEqual(["e6", "e8", "e10"]);
  expect(third.nextPageToken).toBe("");
  await again.close();
});

test("pages go on within a message that holds several events, and over the end of one", async () => {
  const { log } = await emptyLog();
  const key = "world/w1/order";
  log.add(busMessage(1, key, [1, 2, 3]), 3);
  log.add(busEvent(4, "halt"), 1);
  log.add(busMessage(5, key, [4]), 1);
  log.add(busMessage(6, key, [5, 6, 7]), 3);
  const walk = async (topicKey: string, size: number) => {
    const pages: string[][] = [];
    let token = "";
    do {
      const { events, nextPageToken } = await log.page(topicKey, size, token);
      pages.push(events.map(({ id }) => id));
      token = nextPageToken;
    } while (token !== "");
    return pages;
  };

  expect(await walk(key, 2)).toEqual([["e1", "e2"], ["e3", "e4"], ["e5", "e6"], ["e7"]]);
  expect(await walk(key, 3)).toEqual([["e1", "e2", "e3"], ["e4", "e5", "e6"], ["e7"]]);
  expect((await walk("", 1)).flat()).toEqual(["e1", "e2", "e3", "e4", "e4", "e5", "e6", "e7"]);
  expect(await walk(key, 7)).toHaveLength(1);
  await log.close();
});

test("a second gateway that reads the same bus adds nothing twice", async () => {
  const { db, log } = await emptyLog();
  const other = await open(db);
  for (const n of [1, 2, 3]) {
    log.add(busEvent(n), 1);
    other.add(busEvent(n), 1);
  }
  await Promise.all([log.flush(), other.flush()]);

  expect(await idsOf(log)).toEqual(["e1", "e2", "e3"]);
  await log.close();
  await other.close();
});

test("events are written behind, by the clock, and again after the database failed", async () => {
  const { db } = await emptyLog();
  let isDown = true;
  const failing: Db = {
    kind: db.kind,
    schema: db.schema,
    script: (...args) => db.script(...args),
    query: (...args) =>
      isDown && args[0].includes("insert") ? Promise.reject(new Error("down")) : db.query(...args),
    transaction: (...args) => db.transaction(...args),
    close: () => db.close(),
    [Symbol.asyncDispose]: () => db.close(),
  };
  const log = await open(failing);
  log.add(busEvent(1), 1);
  await expect(log.flush()).rejects.toThrow("down");

  isDown = false;
  clock.advance(1_000);

  const count = async () => (await db.query("select id from gateway.control_event")).length;
  await waitUntil(async () => (await count()) === 1, { timeoutMs: 5_000 });
  await log.close();
});

test("a page token of nobody's is refused with its field", async () => {
  const { log } = await emptyLog();
  await expect(log.page("", 10, "-3")).rejects.toMatchObject({
    reason: "PAGE_TOKEN_INVALID",
    fields: [{ field: "page_token" }],
  });
  await log.close();
});

test("a gateway that has read nothing yet tells what it told before it was started again", async () => {
  await using rig = await openGatewayRig();
  const request = { topicKey: "world/w1/policy", pageSize: 100 };
  const list = async (client: typeof rig.client) => {
    const { events } = await client(GatewayService).listEvents(request);
    return events.map(({ id }) => id);
  };
  for (let n = 1; n <= 3; n += 1) {
    const { key, payload } = busEvent(n, request.topicKey);
    await rig.bus.publish("control", key, payload);
  }
  await waitUntil(async () => (await list(rig.client)).length === 3, { timeoutMs: 10_000 });

  const again = await rig.make(); // never started: it does not read the bus
  await using server = await openGrpcServer({ services: again.services });
  const connection = connectTo(`http://127.0.0.1:${server.port}`);

  expect(await list(connection.client.bind(connection))).toEqual(["e1", "e2", "e3"]);
  connection.close();
  await again.stop();
});
