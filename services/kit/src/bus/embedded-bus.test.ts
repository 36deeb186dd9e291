import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PgliteHost } from "../db/pglite-db.ts";
import { openPostgres } from "../db/postgres-db.ts";
import { describePostgres } from "../testing/describe-servers.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { openEmbeddedBus } from "./embedded-bus.ts";
import { eventBusContract } from "./event-bus.contract.ts";

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
});
