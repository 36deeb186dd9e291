import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Db } from "../db/db.ts";
import type { PgliteHost } from "../db/pglite-db.ts";
import { openPostgres } from "../db/postgres-db.ts";
import { describePostgres } from "../testing/describe-servers.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { openEmbeddedBus } from "./embedded-bus.ts";
import { eventBusContract } from "./event-bus.contract.ts";
import type { BusEvent } from "./event-bus.ts";

describe("EventBus embedded in PGlite", () => {
  let host: PgliteHost;
  beforeAll(async () => {
    host = await openTestPglite();
  });
  afterAll(() => host.close());

  eventBusContract(() => openEmbeddedBus({ db: host.db("bus"), pollMs: 50 }));

  it("wakes a subscriber at once, without waiting for the next poll", async () => {
    await using bus = await openEmbeddedBus({ db: host.db("wake"), pollMs: 600_000 });
    await bus.ensureTopics([{ topic: "t" }]);
    const stop = new AbortController();
    let count = 0;
    const onEvent = async () => {
      count += 1;
    };
    await bus.subscribe({ topics: ["t"], fromBeginning: false, onEvent, signal: stop.signal });
    for (let n = 1; n <= 50; n += 1) {
      await bus.publish("t", "a", new Uint8Array(1));
      await waitUntil(() => count === n);
    }
    stop.abort();
  });

  it("gives each subscriber every event once and in order, whichever of two processes sent it", () =>
    sharedByTwo(() => host.db("shared")));

  it("keeps no more than its retention allows", async () => {
    await using bus = await openEmbeddedBus({ db: host.db("kept"), retentionEventsMax: 100 });
    await bus.ensureTopics([{ topic: "t" }]);
    const payload = new Uint8Array(1);
    const events = Array.from({ length: 500 }, (_, n) => ({ topic: "t", key: String(n), payload }));
    await bus.publishBatch(events);
    await bus.publishBatch(events);
    const [row] = await host
      .db("kept")
      .query<{ n: number }>("select count(*) as n from kept.event");
    expect(row?.n).toBe(100);
  });
});

describePostgres("EventBus embedded", (server) => {
  let dsn: Promise<string> | undefined;
  eventBusContract(async () => {
    dsn ??= server().createDatabase();
    const db = await openPostgres({ dsn: await dsn, schema: "bus", connectionsMax: 3 });
    const bus = await openEmbeddedBus({ db, pollMs: 50 });
    const close = bus.close.bind(bus);
    return Object.assign(bus, { close: () => close().then(() => db.close()) });
  });

  it("gives each subscriber every event once and in order, whichever of two processes sent it", async () => {
    const own = await server().createDatabase();
    await using opened = new AsyncDisposableStack();
    const dbs = await Promise.all(
      [1, 2].map(() => openPostgres({ dsn: own, schema: "bus", connectionsMax: 3 })),
    );
    for (const db of dbs) opened.defer(() => db.close());
    await sharedByTwo((at) => dbs[at]!);
  });
});

/** Two buses over one log, as two processes have them: each sends, alone and both at once, and each listens. */
async function sharedByTwo(dbOf: (at: number) => Db): Promise<void> {
  const buses = [
    await openEmbeddedBus({ db: dbOf(0), pollMs: 20 }),
    await openEmbeddedBus({ db: dbOf(1), pollMs: 20 }),
  ];
  await using opened = new AsyncDisposableStack();
  for (const bus of buses) opened.use(bus);
  const stop = new AbortController();
  opened.defer(() => stop.abort());
  const topics = ["t", "u"];
  for (const bus of buses) await bus.ensureTopics(topics.map((topic) => ({ topic })));
  const seen: BusEvent[][] = [[], [], []];
  for (const [at, events] of seen.entries()) {
    const onEvent = async (event: BusEvent) => {
      events.push(event);
    };
    const own = { topics: at === 2 ? ["u"] : topics, fromBeginning: false, onEvent };
    await buses[at % 2]!.subscribe({ ...own, signal: stop.signal });
  }
  const rounds = 60;
  for (let round = 0; round < rounds; round += 1) {
    const senders = round % 3 === 2 ? [0, 1] : [round % 3];
    await Promise.all(
      senders.flatMap((sender) =>
        topics.map((topic) => {
          const payload = new TextEncoder().encode(`${topic}${round}.${sender}`);
          return buses[sender]!.publish(topic, String(sender), payload, { n: String(round) });
        }),
      ),
    );
  }
  const sent = (rounds / 3) * 4 * topics.length;
  await waitUntil(() => seen[0]!.length >= sent && seen[1]!.length >= sent);
  await waitUntil(() => seen[2]!.length >= sent / 2);
  const first = seen[0]!;
  const positions = first.map(({ position }) => position);
  expect(positions).toEqual([...positions].sort((a, b) => a - b));
  expect(new Set(first.map(textOf)).size).toBe(sent);
  expect(first).toHaveLength(sent);
  expect(seen[1]).toEqual(first);
  expect(seen[2]).toEqual(first.filter(({ topic }) => topic === "u"));
}

const textOf = ({ payload }: BusEvent): string => new TextDecoder().decode(payload);
