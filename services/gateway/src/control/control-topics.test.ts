import { fileURLToPath } from "node:url";
import { create, toJson } from "@bufbuild/protobuf";
import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { SnapshotSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { SubmitStrategyRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import {
  createMetrics,
  createPrincipalCheck,
  openGrpcServer,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import {
  appendControlEvent,
  appendCountedEvent,
  type ControlChange,
  type ControlSchema,
  controlTopic,
  isTopicChange,
  migrateTopics,
  raiseStoreEpoch,
  readTopic,
  TopicState,
  topicOfKey,
  topicService,
} from "@qmtl/service-kit/control";
import { type Db, migrate, type Tx } from "@qmtl/service-kit/db";
import { migrateOutbox, OutboxRelay } from "@qmtl/service-kit/outbox";
import { openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Peer } from "../peers/peer.ts";
import {
  type ChangedSubmission,
  claimSubmission,
  putSubmission,
  readSubmissionWithEpoch,
} from "../store/submission-store.ts";
import { insertSubmission, writeOutcome } from "../submission/store-submission.ts";
import { readSubmissionTopic, submissionChange } from "../submission/submission-topic.ts";
import { ControlHub } from "./control-hub.ts";
import { EventLog } from "./event-log.ts";
import { GateBook } from "./gate-book.ts";
import { ModelSubscriber } from "./testing/model-subscriber.ts";
import { TopicBook } from "./topic-book.ts";

const schemas = ["gateway", "dag", "world"] as const;
const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };
const gateway = { name: "gw-test", role: "gateway" } as const;

/** The writers of all topics but GATE, over their own stores, and a gateway's hub that can be restarted. */
async function openPlatform() {
  await using opened = new AsyncDisposableStack();
  const host = opened.use(await openTestPglite());
  const bus = await openEmbeddedBus({ db: host.db("bus"), pollMs: 20 });
  opened.defer(() => bus.close());
  await bus.ensureTopics([{ topic: controlTopic }]);
  const ports = { clock: systemClock, logger: silentLogger, metrics: createMetrics() };
  const dbs = new Map<ControlSchema, Db>();
  const relays: OutboxRelay[] = [];
  for (const schema of schemas) {
    const db = host.db(schema);
    await migrateOutbox(db);
    await migrateTopics(db);
    dbs.set(schema, db);
    const relay = new OutboxRelay({ db, bus, ownerId: schema, ...ports });
    relay.start();
    opened.defer(() => relay.close());
    relays.push(relay);
  }
  const peerOf = async (schema: "dag" | "world") => {
    const principalOf = createPrincipalCheck({ gateways: [gatewayKey] });
    const services = [topicService(dbs.get(schema)!, schema)];
    const server = opened.use(await openGrpcServer({ services, principalOf }));
    const url = `http://127.0.0.1:${server.port}`;
    const peer = new Peer(schema, url, { clock: systemClock, gatewayKey });
    opened.defer(() => peer.close());
    return peer;
  };
  const dag = await peerOf("dag");
  const world = await peerOf("world");
  const db = dbs.get("gateway")!;
  await migrate(db, fileURLToPath(new URL("../../migrations/", import.meta.url)));
  const readers = { submission: (id: string) => readSubmissionTopic(db, id) };
  const startHub = async () => {
    const events = await EventLog.open(db, ports);
    const gates = new GateBook({ world, gateway, logger: silentLogger });
    const topics = new TopicBook({ db, dag, world, gateway, readers });
    const hub = new ControlHub({ bus, gates, topics, events, ...ports });
    await hub.start();
    return hub;
  };
  let hub = await startHub();
  opened.defer(() => hub.stop());
  const all = opened.move();
  return {
    get hub() {
      return hub;
    },
    async restart() {
      await hub.stop();
      hub = await startHub();
    },
    async write({ schema, key, ...writer }: Writer, a: number, b: number) {
      await dbs.get(schema)!.transaction((tx) => {
        if ("write" in writer) return writer.write(tx, a, b);
        const change = { topicKey: key, subject: key, payload: writer.payload(a, b) };
        return appendControlEvent(tx, schema, change, 0);
      });
      for (const relay of relays) relay.poke();
    },
    restore: (schema: ControlSchema) =>
      dbs.get(schema)!.transaction((tx) => raiseStoreEpoch(tx, schema, 0)),
    stored({ schema, key }: Writer) {
      const subject = topicOfKey(key);
      return subject?.topic === "submission"
        ? readSubmissionTopic(db, subject.id)
        : readTopic(dbs.get(schema)!, schema, key);
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

type Platform = Awaited<ReturnType<typeof openPlatform>>;

/** Writes a change that two small numbers choose. */
type Writer = { readonly schema: ControlSchema; readonly key: string } & (
  | { payload(a: number, b: number): ControlChange["payload"] }
  | { write(tx: Tx, a: number, b: number): Promise<void> }
);

const phases = [SwapPhase.OPENING, SwapPhase.PREPARE, SwapPhase.COMMIT, SwapPhase.ABORTED];
const orderStates = [OrderState.PENDING, OrderState.ACCEPTED, OrderState.FILLED];
/** More than an event of the bus may carry. */
const tooLarge = "x".repeat(600_000);
const queue = (name: number) => ({ computeKey: `k${name}`, nodeId: `n${name}` });
/** The writers of one round, each round with a world, a feed and a submission of its own. */
const writersOf = (worldId: string): readonly Writer[] => [
  {
    schema: "dag",
    key: `world/${worldId}/queue`,
    payload: (a, b) =>
      b < 4
        ? { case: "swapUpdated", value: { swapId: `s${a}`, worldId, phase: phases[b]! } }
        : {
            case: "queuesUpdated",
            value: { worldId, strategy: { strategyId: `st${a}`, queues: [queue(b)] } },
          },
  },
  {
    schema: "dag",
    key: "tags/queue",
    payload: (a, b) => ({
      case: "tagQueryUpdated",
      value: { query: { tags: [`t${a}`] }, intervalSeconds: 60n, worldId, queues: [queue(b)] },
    }),
  },
  {
    schema: "dag",
    key: `feed/${worldId}`,
    payload: (a, b) => ({
      case: "feedUpdated",
      value: { source: worldId, passedRow: BigInt(a), runners: [{ sessionId: `r${b}` }] },
    }),
  },
  {
    schema: "gateway",
    key: `world/${worldId}/order`,
    payload: (a, b) => ({
      case: "orderUpdated",
      value: {
        clientOrderId: `o${a}`,
        worldId,
        state: orderStates[b % 3]!,
        entry: BigInt(b),
        instrument: b === 5 ? tooLarge : "",
      },
    }),
  },
  {
    schema: "gateway",
    key: "halt",
    payload: (a, b) => ({
      case: "haltsUpdated",
      value: { halts: Array.from({ length: a % 3 }, (_, at) => ({ haltId: `h${at}-${b}` })) },
    }),
  },
  {
    schema: "gateway",
    key: `submission/${worldId}`,
    write: (tx, a, b) => changeSubmission(tx, worldId, a, b),
  },
  {
    schema: "world",
    key: `world/${worldId}/policy`,
    payload: (a, b) => ({
      case: "policyUpdated",
      value: { worldId, policyVersion: a, checksum: `c${b}` },
    }),
  },
  {
    schema: "world",
    key: `world/${worldId}/rebalancing`,
    payload: (a, b) => ({
      case: "rebalancingUpdated",
      value: { worldId, allocation: a / 10, deltas: b, batchId: b === 5 ? tooLarge : "" },
    }),
  },
];

/**
 * Submits, claims, or ends the round of a submission, as the two numbers say, with the event; some combinations change
 * nothing.
 */
async function changeSubmission(tx: Tx, submissionId: string, a: number, b: number): Promise<void> {
  const tell = (row: ChangedSubmission) =>
    appendCountedEvent(tx, "gateway", submissionChange(row), 0);
  const { storeEpoch, row: known } = await readSubmissionWithEpoch(tx, submissionId);
  if (b < 2) {
    const claimed = await claimSubmission(tx, submissionId, "gw", { nowMs: 0, ownMs: 0 });
    if (claimed !== undefined) await tell(claimed);
    return;
  }
  if (b > 3 && known !== undefined) {
    const submission = create(SubmissionSchema, { newNodes: a, sentinelId: `s${a}` });
    const state = a < 4 ? "completed" : "queued";
    const result = a < 4 ? { result: { submission, assignments: [] } } : {};
    const outcome = { state, reason: `r${a}`, nowMs: 0, ...result } as const;
    await writeOutcome(tx, { ...known, storeEpoch }, "gw", outcome);
    return;
  }
  const request = create(SubmitStrategyRequestSchema, { strategyName: `n${a}` });
  const principal = { name: "quant", role: "researcher" } as const;
  const row = { submissionId, strategyId: "st", worldIds: [], principal, request };
  if (known === undefined) {
    const remembered = { requestId: "", contentHash: "", submissionId };
    const at = { nowMs: 0, storeEpoch };
    const clock = { isReplay: undefined, worldIds: [], seen: {} };
    await insertSubmission(tx, { ...row, remembered, sourceKeys: [], clock }, undefined, at);
    return;
  }
  await tell(await putSubmission(tx, row, 0));
}

/** What a key's writer has stored, as a snapshot of it. */
async function truth(platform: Platform, writer: Writer) {
  const { storeEpoch, revision, changes } = await platform.stored(writer);
  const state = new TopicState(topicOfKey(writer.key)!);
  for (const { payload } of changes) if (isTopicChange(payload)) state.apply(payload);
  return { storeEpoch, revision, state: toJson(SnapshotSchema, state.snapshot()) };
}

async function expectToHoldTheTruth(
  platform: Platform,
  writers: readonly Writer[],
  subscriber: ModelSubscriber,
) {
  for (const writer of writers) {
    const wanted = await truth(platform, writer);
    await waitUntil(
      () => {
        const held = subscriber.held.get(writer.key);
        return held !== undefined && Number(held.revision) === wanted.revision;
      },
      { what: `${writer.key} at revision ${wanted.revision}` },
    );
    const { snapshot } = subscriber.held.get(writer.key)!;
    expect([writer.key, toJson(SnapshotSchema, snapshot)]).toEqual([writer.key, wanted.state]);
  }
}

const small = fc.nat({ max: 5 });
const write = fc.record({
  kind: fc.constant("write" as const),
  at: fc.nat({ max: 7 }),
  a: small,
  b: small,
});
const deed = fc.oneof(
  { weight: 12, arbitrary: write },
  { weight: 2, arbitrary: fc.constant({ kind: "cut" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reconnect" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("restore" as const), at: fc.nat({ max: 2 }) }),
  },
);

type Deed = typeof deed extends fc.Arbitrary<infer T> ? T : never;

/** Plays the changes of a round to a subscriber that is cut and comes back, then compares. */
async function play(platform: Platform, worldId: string, deeds: readonly Deed[]): Promise<void> {
  const writers = writersOf(worldId);
  const subscriber = new ModelSubscriber(writers.map(({ key }) => key));
  let isConnected = false;
  const connect = () => {
    if (!isConnected) subscriber.connect(platform.hub);
    isConnected = true;
  };
  const cut = async () => {
    isConnected = false;
    await subscriber.cut();
  };
  connect();
  try {
    for (const deed of deeds) {
      if (deed.kind === "write") {
        await platform.write(writers[deed.at]!, deed.a, deed.b);
      } else if (deed.kind === "cut") await cut();
      else if (deed.kind === "reconnect") connect();
      else if (deed.kind === "restore") await platform.restore(schemas[deed.at]!);
      else {
        await cut();
        await platform.restart();
      }
    }
    connect();
    await expectToHoldTheTruth(platform, writers, subscriber);
  } finally {
    await subscriber.cut();
  }
}

test("whatever is written, cut, restarted or restored, no change is missed and the state held is the store's", async () => {
  await using platform = await openPlatform();
  let rounds = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { minLength: 20, maxLength: 60 }), (deeds) =>
      play(platform, `w${++rounds}`, deeds),
    ),
    { numRuns: 12, endOnFailure: true },
  );
}, 240_000);

test("who comes back after a restart of the gateway goes on with each change, without a snapshot", async () => {
  await using platform = await openPlatform();
  const writer = writersOf("w1").find(({ key }) => key === "world/w1/order")!;
  const order = (a: number, b: number) => platform.write(writer, a, b);
  const subscriber = new ModelSubscriber([writer.key]);
  await order(1, 1);
  subscriber.connect(platform.hub);
  const heldTo = (revision: bigint) =>
    waitUntil(() => subscriber.held.get(writer.key)?.revision === revision, {
      what: `revision ${revision}`,
    });
  await heldTo(1n);
  await order(2, 0);
  await heldTo(2n);
  await subscriber.cut();
  const { snapshots, changes } = subscriber.held;
  for (let at = 3; at < 8; at += 1) await order(at, 0);
  await platform.restart();
  await waitUntil(() => platform.hub.revisionOf(writer.key) === 7, {
    what: "the history is read again",
  });

  subscriber.connect(platform.hub);
  await heldTo(7n);

  expect([subscriber.held.snapshots - snapshots, subscriber.held.changes - changes]).toEqual([
    0, 5,
  ]);
  await subscriber.cut();
});

test("a change that is too large for an event reaches who listens, and who comes back, as a snapshot", async () => {
  await using platform = await openPlatform();
  const writer = writersOf("w1").find(({ key }) => key === "world/w1/rebalancing")!;
  const listening = new ModelSubscriber([writer.key]);
  const back = new ModelSubscriber([writer.key]);
  await platform.write(writer, 1, 1);
  for (const each of [listening, back]) {
    each.connect(platform.hub);
    await waitUntil(() => each.held.get(writer.key)?.revision === 1n);
  }
  await back.cut();

  await platform.write(writer, 2, 5);
  await waitUntil(() => listening.held.get(writer.key)?.revision === 2n);
  back.connect(platform.hub);
  await expectToHoldTheTruth(platform, [writer], back);
  await platform.write(writer, 3, 3);

  for (const each of [listening, back]) {
    await expectToHoldTheTruth(platform, [writer], each);
    await each.cut();
  }
  const { events } = await platform.hub.events.page(writer.key, 100, "");
  expect(events.map(({ revision, payload }) => [revision, payload.case])).toEqual([
    [1n, "rebalancingUpdated"],
    [2n, undefined],
    [3n, "rebalancingUpdated"],
  ]);
}, 60_000);
