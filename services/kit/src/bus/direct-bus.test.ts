import { OutboxService } from "@qmtl/contracts/qmtl/system/v1/outbox_service_pb";
import { connectTo } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { PgliteHost } from "../db/pglite-db.ts";
import { openPostgres } from "../db/postgres-db.ts";
import { openGrpcServer } from "../grpc-server.ts";
import type { Logger } from "../logger.ts";
import { silentLogger } from "../logger.ts";
import { createPrincipalCheck } from "../principal.ts";
import { PRINCIPAL_HEADER, signPrincipal } from "../principal-signature.ts";
import { describePostgres } from "../testing/describe-servers.ts";
import { freePorts } from "../testing/free-port.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { type DirectBusOptions, openDirectBus } from "./direct-bus.ts";
import { eventBusContract } from "./event-bus.contract.ts";
import type { EventBus, SubscribeOptions } from "./event-bus.ts";
import { connectOutboxPeer } from "./outbox-peer.ts";

const gatewayKey = { gatewayId: "gw", secret: new Uint8Array(32).fill(3) };
const principalOf = createPrincipalCheck({ gateways: [gatewayKey] });
const bytes = (text: string) => new TextEncoder().encode(text);

/** Serves a bus, as the service that owns it does. */
const serverOf = ({ services }: EventBus, port = 0) =>
  openGrpcServer({ services, port, principalOf });
const peerAt = (port: number, name = "peer") =>
  connectOutboxPeer({ name, url: `http://127.0.0.1:${port}`, gatewayKey });

describe("EventBus direct", () => {
  let host: PgliteHost;
  let schemas = 0;
  beforeAll(async () => {
    host = await openTestPglite();
  });
  afterAll(() => host.close());

  const newDb = () => {
    schemas += 1;
    return host.db(`log${schemas}`);
  };
  const openBus = async (options: Partial<DirectBusOptions> = {}) => {
    const bus = await openDirectBus({ db: newDb(), pollMs: 50, ...options });
    onTestFinished(() => bus.close());
    return bus;
  };
  /** Payloads of `t` as they come, from the first one on. */
  const collect = async (bus: EventBus, more: Partial<SubscribeOptions> = {}) => {
    const seen: string[] = [];
    const onEvent: SubscribeOptions["onEvent"] = async ({ payload }) => {
      seen.push(new TextDecoder().decode(payload));
    };
    const signal = new AbortController().signal;
    await bus.subscribe({ topics: ["t"], fromBeginning: true, onEvent, signal, ...more });
    return seen;
  };

  describe("over the own log", () => {
    eventBusContract(() => openDirectBus({ db: host.db("own"), pollMs: 50 }));
  });

  describe("over gRPC", () => {
    let served: EventBus;
    let port: number;
    let close: () => Promise<void>;
    let readers = 0;
    beforeAll(async () => {
      served = await openDirectBus({ db: host.db("published"), pollMs: 20 });
      const server = await serverOf(served);
      port = server.port;
      close = async () => {
        await server.close();
        await served.close();
      };
    });
    afterAll(() => close());

    /** Publishes on one bus and reads on another, as two processes do. */
    eventBusContract(async () => {
      readers += 1;
      const writer = await openDirectBus({ db: host.db("published"), pollMs: 20 });
      const db = host.db(`reader${readers}`);
      const reader = await openDirectBus({ db, pollMs: 600_000, peers: [peerAt(port)] });
      const closeBoth = async () => {
        await reader.close();
        await writer.close();
      };
      return {
        kind: "direct",
        services: [],
        ensureTopics: (topics) => writer.ensureTopics(topics),
        publish: (...event) => writer.publish(...event),
        publishBatch: (events) => writer.publishBatch(events),
        subscribe: (options) => reader.subscribe(options),
        close: closeBoth,
        [Symbol.asyncDispose]: closeBoth,
      };
    });
  });

  it("goes on without gap or repetition when a peer was away", async () => {
    const peer = await openBus();
    await peer.ensureTopics([{ topic: "t" }]);
    const first = await serverOf(peer);
    const bus = await openBus({ peers: [peerAt(first.port)] });
    const seen = await collect(bus);
    await peer.publish("t", "k", bytes("1"));
    await waitUntil(() => seen.length === 1);
    await first.close();
    await peer.publish("t", "k", bytes("2"));
    const again = await serverOf(peer, first.port);
    onTestFinished(() => again.close());
    await peer.publish("t", "k", bytes("3"));
    await waitUntil(() => seen.length === 3);
    expect(seen).toEqual(["1", "2", "3"]);
  });

  it("delivers what a peer said before it could be reached, and meanwhile the own events", async () => {
    const [port = 0] = await freePorts(1);
    const bus = await openBus({ peers: [peerAt(port)] });
    await bus.ensureTopics([{ topic: "t" }]);
    const seen = await collect(bus);
    await bus.publish("t", "k", bytes("own"));
    await waitUntil(() => seen.length === 1);
    const peer = await openBus();
    await peer.ensureTopics([{ topic: "t" }]);
    await peer.publish("t", "k", bytes("theirs"));
    const server = await serverOf(peer, port);
    onTestFinished(() => server.close());
    await waitUntil(() => seen.length === 2);
    expect(seen).toEqual(["own", "theirs"]);
  });

  it("calls back for one event at a time, from however many peers", async () => {
    const peers = await Promise.all([openBus(), openBus(), openBus()]);
    const servers = await Promise.all(peers.map((peer) => serverOf(peer)));
    onTestFinished(async () => {
      await Promise.all(servers.map((server) => server.close()));
    });
    const bus = await openBus({ peers: servers.map(({ port }, n) => peerAt(port, `p${n}`)) });
    let underWay = 0;
    let most = 0;
    let count = 0;
    await collect(bus, {
      onEvent: async () => {
        underWay += 1;
        most = Math.max(most, underWay);
        await host.db("x").query("select 1");
        underWay -= 1;
        count += 1;
      },
    });
    for (const peer of peers) {
      await peer.ensureTopics([{ topic: "t" }]);
      const events = Array.from({ length: 20 }, (_, n) => ({
        topic: "t",
        key: String(n),
        payload: bytes("x"),
      }));
      await peer.publishBatch(events);
    }
    await waitUntil(() => count === 60);
    expect(most).toBe(1);
  });

  it("begins with the oldest event kept when those before it were deleted, and says so", async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => warnings.push(message) };
    const peer = await openBus({ retentionEventsMax: 100 });
    await peer.ensureTopics([{ topic: "t" }]);
    const first = await serverOf(peer);
    const bus = await openBus({ peers: [peerAt(first.port)], logger });
    const seen = await collect(bus);
    await peer.publish("t", "k", bytes("first"));
    await waitUntil(() => seen.length === 1);
    await first.close();
    const many = Array.from({ length: 1_000 }, (_, n) => ({
      topic: "t",
      key: "k",
      payload: bytes(String(n)),
    }));
    await peer.publishBatch(many);
    const again = await serverOf(peer, first.port);
    onTestFinished(() => again.close());
    await waitUntil(() => seen.at(-1) === "999");
    expect(seen).toEqual(["first", ...many.slice(900).map((_, n) => String(900 + n))]);
    expect(warnings).toContain("events of peer are gone; continuing with the oldest it keeps");
  });

  it("takes the events of a log that was made anew, under a number of its own", async () => {
    const partitions: number[] = [];
    const onEvent: SubscribeOptions["onEvent"] = async ({ partition }) => {
      partitions.push(partition);
    };
    const peer = await openBus();
    await peer.ensureTopics([{ topic: "t" }]);
    const first = await serverOf(peer);
    const bus = await openBus({ peers: [peerAt(first.port)] });
    await collect(bus, { onEvent });
    await peer.publish("t", "k", bytes("1"));
    await waitUntil(() => partitions.length === 1);
    await first.close();
    const anew = await openBus();
    await anew.ensureTopics([{ topic: "t" }]);
    await anew.publish("t", "k", bytes("1"));
    const server = await serverOf(anew, first.port);
    onTestFinished(() => server.close());
    await waitUntil(() => partitions.length === 2);
    expect(new Set(partitions).size).toBe(2);
  });

  describe("OutboxService", () => {
    const open = async (options: Partial<DirectBusOptions> = {}) => {
      const bus = await openBus(options);
      await bus.ensureTopics([{ topic: "t" }]);
      const server = await serverOf(bus);
      const header = signPrincipal({ name: "gw", role: "gateway" }, gatewayKey, Date.now());
      const connection = connectTo(`http://127.0.0.1:${server.port}`, {
        headers: () => ({ [PRINCIPAL_HEADER]: header }),
      });
      onTestFinished(async () => {
        connection.close();
        await server.close();
      });
      return { bus, server, client: connection.client(OutboxService) };
    };

    it("answers at once, although there is no event", async () => {
      const { client } = await open();
      for await (const { events, cursor, logId } of client.watchEvents({ topics: ["t"] })) {
        expect([events, cursor]).toEqual([[], `${logId}.0`]);
        break;
      }
    });

    it("is for gateways alone, not even for an owner", async () => {
      const { server } = await open();
      await using connection = connectTo(`http://127.0.0.1:${server.port}`);
      const stream = connection.client(OutboxService).watchEvents({ topics: ["t"] });
      await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({
        reason: "ROLE_REQUIRED",
      });
    });

    it.each([
      [{ topics: [] }, "topics"],
      [{ topics: ["No Such"] }, "topics"],
      [{ topics: ["t", "t"] }, "topics"],
      [{ topics: ["t"], cursor: "there" }, "cursor"],
      [{ topics: ["t"], cursor: "1.2.3" }, "cursor"],
      [{ topics: ["t"], cursor: "1".repeat(200) }, "cursor"],
    ])("refuses %j, naming the field", async (request, field) => {
      const { client } = await open();
      const stream = client.watchEvents(request);
      await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({
        reason: "INVALID_FIELD",
        fields: [{ field: expect.stringContaining(field) }],
      });
    });

    it("refuses a cursor that is too old, too new, or of another log", async () => {
      const { bus, client } = await open({ retentionEventsMax: 10 });
      let logId = 0;
      for await (const answer of client.watchEvents({ topics: ["t"] })) {
        logId = answer.logId;
        break;
      }
      const payload = bytes("x");
      await bus.publishBatch(
        Array.from({ length: 1_000 }, () => ({ topic: "t", key: "k", payload })),
      );
      for (const cursor of [`${logId}.0`, `${logId}.9999`, `${logId + 1}.995`]) {
        const stream = client.watchEvents({ topics: ["t"], cursor });
        await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({
          reason: "TRIMMED",
        });
      }
      const kept = client.watchEvents({ topics: ["t"], cursor: `${logId}.995` });
      let count = 0;
      for await (const { events } of kept) {
        count += events.length;
        if (count === 5) break;
      }
      expect(count).toBe(5);
    });

    it("sends no more than 1 MiB of several events in one answer", async () => {
      const { bus, client } = await open();
      const payload = new Uint8Array(400 * 1024);
      await bus.publishBatch(Array.from({ length: 5 }, () => ({ topic: "t", key: "k", payload })));
      const sizes: number[] = [];
      for await (const { events } of client.watchEvents({ topics: ["t"], fromBeginning: true })) {
        sizes.push(events.length);
        if (sizes.reduce((sum, size) => sum + size, 0) === 5) break;
      }
      expect(sizes).toEqual([0, 2, 2, 1]);
    });
  });
});

describePostgres("EventBus direct", (server) => {
  let dsn: Promise<string> | undefined;
  eventBusContract(async () => {
    dsn ??= server().createDatabase();
    const db = await openPostgres({ dsn: await dsn, schema: "bus", connectionsMax: 3 });
    const bus = await openDirectBus({ db, pollMs: 50 });
    const close = bus.close.bind(bus);
    return Object.assign(bus, { close: () => close().then(() => db.close()) });
  });
});
