import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { openEmbeddedBus } from "../bus/embedded-bus.ts";
import type { BusEvent, EventBus, OutboxRange, OutgoingEvent } from "../bus/event-bus.ts";
import type { Db } from "../db/db.ts";
import { createMetrics } from "../metrics.ts";
import { countedDb } from "../testing/counted-db.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { appendOutbox, migrateOutbox } from "./outbox.ts";
import { OutboxRelay } from "./outbox-relay.ts";

/** A bus that fails on demand, before or after the events are stored. */
class FaultyBus {
  readonly inner: EventBus;
  readonly #isInDatabase: boolean;
  fault: "none" | "before" | "after" = "none";
  /** Number of batches that were sent. */
  batches = 0;

  constructor(inner: EventBus, isInDatabase: boolean) {
    this.inner = inner;
    this.#isInDatabase = isInDatabase;
  }

  asBus(): EventBus {
    const publishBatch = async (events: readonly OutgoingEvent[]) => {
      if (this.fault === "before") throw new Error("bus down");
      this.batches += 1;
      await this.inner.publishBatch(events);
      if (this.fault === "after") throw new Error("acknowledgement lost");
    };
    const moveOutbox = async (range: OutboxRange) => {
      if (this.fault === "before") throw new Error("bus down");
      const moved = await this.inner.moveOutbox!(range);
      if (moved.isMoved) this.batches += 1;
      if (moved.isMoved && this.fault === "after") throw new Error("acknowledgement lost");
      return moved;
    };
    return {
      kind: this.inner.kind,
      services: [],
      ensureTopics: (topics) => this.inner.ensureTopics(topics),
      publish: (topic, key, payload) => publishBatch([{ topic, key, payload }]),
      publishBatch,
      ...(this.#isInDatabase ? { moveOutbox } : {}),
      subscribe: (options) => this.inner.subscribe(options),
      close: () => this.inner.close(),
      [Symbol.asyncDispose]: () => this.inner.close(),
    };
  }
}

/** Where the bus keeps its events: in the database of the outbox, or elsewhere. */
type BusPlace = "in the database" | "elsewhere";
export const busPlaces: readonly BusPlace[] = ["in the database", "elsewhere"];

/** What the outbox and its relay must do on every `Db`. `open` gives the same database each time. */
export function outboxContract(open: (schema: string) => Promise<Db>, place: BusPlace): void {
  const isInDatabase = place === "in the database";
  let db: Db;
  let busDb: Db;
  let bus: FaultyBus;
  let stop: AbortController;
  let seen: BusEvent[];

  const append = (key: string, revision: number, then: () => Promise<void> = async () => {}) =>
    db.transaction(async (tx) => {
      const payload = new TextEncoder().encode(`${key}${revision}`);
      await appendOutbox(tx, "box", { topic: "t", key, type: "Changed", payload, revision });
      await then();
    });
  const revisions = (key: string) =>
    seen.filter((event) => event.key === key).map(({ headers }) => Number(headers.revision));
  const relayOf = (ownerId: string, options: { leaseMs?: number; batchMax?: number } = {}) =>
    new OutboxRelay({ db, bus: bus.asBus(), ownerId, pollMs: 20, ...options });

  beforeAll(async () => {
    [db, busDb] = await Promise.all([open("box"), open("bus")]);
    await migrateOutbox(db);
    await migrateOutbox(db);
    bus = new FaultyBus(await openEmbeddedBus({ db: busDb, pollMs: 20 }), isInDatabase);
    await bus.inner.ensureTopics([{ topic: "t" }]);
  });
  beforeEach(async () => {
    bus.fault = "none";
    await db.script("delete from box.outbox; delete from box.outbox_relay");
    stop = new AbortController();
    seen = [];
    const onEvent = async (event: BusEvent) => {
      seen.push(event);
    };
    await bus.inner.subscribe({
      topics: ["t"],
      fromBeginning: false,
      onEvent,
      signal: stop.signal,
    });
  });
  afterEach(() => stop.abort());
  afterAll(async () => {
    await bus.inner.close();
    await Promise.all([db.close(), busDb.close()]);
  });

  it("publishes what was committed, with type and revision, and nothing that was rolled back", async () => {
    const failed = append("a", 1, () => Promise.reject(new Error("no")));
    await expect(failed).rejects.toThrow("no");
    await append("a", 2);
    const metrics = createMetrics();
    await using relay = new OutboxRelay({ db, bus: bus.asBus(), ownerId: "x", metrics });
    expect(await relay.relayBatch()).toBe(1);
    expect(await relay.relayBatch()).toBe(0);
    await waitUntil(() => seen.length === 1);
    expect(seen[0]).toMatchObject({
      topic: "t",
      key: "a",
      headers: { type: "Changed", revision: "2" },
    });
    expect(new TextDecoder().decode(seen[0]?.payload)).toBe("a2");
    expect(await metrics.metricsText()).toContain('outbox_published_total{schema="box"} 1');
  });

  it("is woken by a poke and bounds its batches", async () => {
    await using relay = new OutboxRelay({
      db,
      bus: bus.asBus(),
      ownerId: "x",
      pollMs: 600_000,
      batchMax: 2,
    });
    relay.start();
    for (let revision = 1; revision <= 7; revision += 1) await append("a", revision);
    relay.poke();
    await waitUntil(() => seen.length === 7);
    expect(revisions("a")).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("sends the first gathering event at once, what comes soon after it together, and others at once", async () => {
    const clock = new ManualClock();
    const quiet = { pollMs: 600_000, clock };
    await using relay = new OutboxRelay({ db, bus: bus.asBus(), ownerId: "x", ...quiet });
    const published = bus.batches;
    relay.start();
    await append("a", 1);
    relay.pokeGathering(50);
    await waitUntil(() => seen.length === 1);
    for (const revision of [2, 3]) {
      await append("a", revision);
      relay.pokeGathering(50);
    }
    clock.advance(49);
    expect(revisions("a")).toEqual([1]);
    clock.advance(1);
    await waitUntil(() => seen.length === 3);
    expect(revisions("a")).toEqual([1, 2, 3]);
    expect(bus.batches - published).toBe(2);

    await append("a", 4);
    relay.pokeGathering(50);
    await append("b", 1);
    relay.poke();

    await waitUntil(() => seen.length === 5);
  });

  it("sends what is gathered for long with what is gathered for a shorter time, when that is over", async () => {
    const clock = new ManualClock();
    const quiet = { pollMs: 600_000, clock };
    await using relay = new OutboxRelay({ db, bus: bus.asBus(), ownerId: "x", ...quiet });
    relay.start();
    await append("a", 1);
    relay.pokeGathering(500);
    await waitUntil(() => seen.length === 1);
    const published = bus.batches;
    await append("a", 2);
    relay.pokeGathering(500);
    await append("b", 1);
    relay.pokeGathering(20);
    await append("b", 2);
    relay.pokeGathering(500);

    clock.advance(20);

    await waitUntil(() => seen.length === 4);
    expect(bus.batches - published).toBe(1);
  });

  it("keeps trying while the bus is down, then publishes all in order", async () => {
    bus.fault = "before";
    const metrics = createMetrics();
    await using relay = new OutboxRelay({ db, bus: bus.asBus(), ownerId: "x", metrics });
    await append("a", 1);
    await append("a", 2);
    relay.start();
    await waitUntil(async () =>
      /outbox_publish_failures_total\{schema="box"\} [1-9]/.test(await metrics.metricsText()),
    );
    bus.fault = "none";
    await waitUntil(() => seen.length === 2);
    expect(revisions("a")).toEqual([1, 2]);
  });

  it("loses nothing when it dies before it hears that a batch was published", async () => {
    await append("a", 1);
    await append("b", 1);
    bus.fault = "after";
    await expect(relayOf("x").relayBatch()).rejects.toThrow("acknowledgement lost");
    bus.fault = "none";
    // In one database what is published is marked; elsewhere it is published again.
    expect(await relayOf("x").relayBatch()).toBe(isInDatabase ? 0 : 2);
    await append("a", 2);
    expect(await relayOf("x").relayBatch()).toBe(1);
    await waitUntil(() => seen.some(({ headers }) => headers.revision === "2"));
    const twice = isInDatabase ? [] : ["a", "b"];
    expect(seen.map(({ key }) => key)).toEqual(["a", "b", ...twice, "a"]);
  });

  it("writes nothing while nothing waits, and moves what waits in as few statements as the bus allows", async () => {
    const sent: string[] = [];
    const counted = countedDb(db, (_, sql) => void sent.push(sql));
    const own = isInDatabase ? countedDb(busDb, (_, sql) => void sent.push(sql)) : busDb;
    await using events = await openEmbeddedBus({ db: own, pollMs: 600_000 });
    const watched = new FaultyBus(events, isInDatabase).asBus();
    const quiet = { pollMs: 20, leaseMs: 0 };
    await using relay = new OutboxRelay({ db: counted, bus: watched, ownerId: "x", ...quiet });
    sent.length = 0;

    relay.start();
    await waitUntil(() => sent.length >= 5);

    expect(sent.filter((sql) => !/^\s*select\b/i.test(sql))).toEqual([]);
    await relay.close();
    await append("a", 1);
    sent.length = 0;
    expect(await relay.relayBatch()).toBe(1);
    // Elsewhere it is read, and marked once the bus has it.
    expect(sent).toHaveLength(isInDatabase ? 1 : 2);
  });

  it("joins the events of one order before they are published", async () => {
    await db.transaction(async (tx) => {
      for (const revision of [1, 2, 3]) {
        const payload = new Uint8Array([revision]);
        const event = { topic: "t", key: "o", type: "order_updated", payload, revision };
        await appendOutbox(tx, "box", event);
      }
    });

    expect(await relayOf("x").relayBatch()).toBe(3);

    await waitUntil(() => seen.length === 1);
    expect(seen[0]?.headers).toMatchObject({ type: "control_events", revision: "3" });
    expect(await relayOf("x").relayBatch()).toBe(0);
  });

  it("lets one process relay, and another once the first is silent past its lease", async () => {
    await append("a", 1);
    await relayOf("x", { leaseMs: 60_000 }).relayBatch();
    await append("a", 2);
    const second = relayOf("y", { leaseMs: 60_000 });
    expect(await second.relayBatch()).toBe(0);
    // A minute of silence.
    await db.script("update box.outbox_relay set until = now()");
    expect(await second.relayBatch()).toBe(1);
    expect(await relayOf("x").relayBatch()).toBe(0);
  });

  it("lets the process that leads from now on relay at once, though another one holds the lease", async () => {
    await append("a", 1);
    const former = relayOf("x", { leaseMs: 60_000 });
    expect(await former.relayBatch()).toBe(1);
    await append("a", 2);
    const leader = relayOf("y", { leaseMs: 60_000 });

    await leader.takeOver();

    expect(await former.relayBatch()).toBe(0);
    expect(await leader.relayBatch()).toBe(1);
  });

  it("gives the lease back when it is closed, and may be closed twice", async () => {
    const first = relayOf("x");
    first.start();
    await append("a", 1);
    await waitUntil(() => seen.length === 1);
    await first.close();
    await first.close();
    await append("a", 2);
    expect(await relayOf("y").relayBatch()).toBe(1);
  });

  it("keeps the order of a key over concurrent transactions", async () => {
    await using relay = relayOf("x", { batchMax: 3 });
    relay.start();
    await db.script(`create table if not exists box.counter (key text primary key, n int);
      insert into box.counter values ('a', 0), ('b', 0) on conflict (key) do update set n = 0`);
    const change = (key: string) =>
      db.transaction(async (tx) => {
        const [row] = await tx.query<{ n: number }>(
          "update box.counter set n = n + 1 where key = $1 returning n",
          [key],
        );
        const event = {
          topic: "t",
          key,
          type: "C",
          payload: new Uint8Array(1),
          revision: row?.n ?? 0,
        };
        await appendOutbox(tx, "box", event);
      });
    await Promise.all(
      Array.from({ length: 60 }, (_, index) => change(index % 2 === 0 ? "a" : "b")),
    );
    relay.poke();
    await waitUntil(() => seen.length === 60);
    const expected = Array.from({ length: 30 }, (_, index) => index + 1);
    expect([revisions("a"), revisions("b")]).toEqual([expected, expected]);
  });

  it("refuses a payload above the bus's limit before it is stored", async () => {
    const event = {
      topic: "t",
      key: "a",
      type: "C",
      payload: new Uint8Array(600_000),
      revision: 1,
    };
    await expect(db.transaction((tx) => appendOutbox(tx, "box", event))).rejects.toThrow(
      RangeError,
    );
  });
}
