import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { FeedStateSchema, SlicePhase } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { Gate, GateStateSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { forgetMs } from "@qmtl/core/queues";
import {
  createLogger,
  createMetrics,
  createPrincipalCheck,
  type Logger,
  openGrpcServer,
  serve,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { ManualClock, waitUntil } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { Peer } from "../peers/peer.ts";
import type { GateChangeListener, SliceCall } from "../ports.ts";
import type { DroppedRunner } from "../store/dropped-runner-store.ts";
import { ReplayFeeds } from "./replay-feeds.ts";
import { reconnectMsMax } from "./timelines.ts";

const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };
const sessionDeadMs = 4_000;

/** The feeds over a DAG Manager that keeps the runner set of one feed, at row 5. */
async function openRig(
  logger: Logger = silentLogger,
  dropped = new Map<string, DroppedRunner>(),
  hasRows = true,
) {
  await using opened = new AsyncDisposableStack();
  const runners = new Set<string>();
  const log = { row: hasRows ? 5 : 99 };
  const unsure: string[] = [];
  const services = [
    serve(QueueService, {
      listFeeds: async () => ({
        feeds: [
          {
            source: "day",
            passedRow: BigInt(log.row),
            ...(hasRows ? { passedBucketEndTime: { seconds: BigInt(log.row * 100) } } : {}),
            runners: [...runners].map((sessionId) => ({ sessionId, worldId: "w", fromRow: 0n })),
          },
        ],
      }),
      deleteReplayRunner: async ({ sessionId }) => {
        runners.delete(sessionId);
        return {};
      },
    }),
  ];
  const principalOf = createPrincipalCheck({ gateways: [gatewayKey] });
  const server = opened.use(await openGrpcServer({ services, principalOf }));
  const url = `http://127.0.0.1:${server.port}`;
  const dag = new Peer("dag-manager", url, { clock: systemClock, gatewayKey });
  opened.defer(() => dag.close());
  const clock = new ManualClock();
  const taken: SliceCall[] = [];
  const returns = { areReported: true };
  let applied: GateChangeListener = () => {};
  const feeds = new ReplayFeeds({
    dag,
    gateway: { name: "gw-test", role: "gateway" },
    clock,
    logger,
    metrics: createMetrics(),
    booker: {
      book: async () => {},
      passed: () => {},
      take: async (calls) => void taken.push(...calls),
      mustBook: () => false,
      missed: async () => [],
      logged: async () => ({ last: undefined, values: [] }),
      queuesOf: () => ["blake3:day"],
      isBooked: () => true,
      isReported: () => returns.areReported,
      whyUnbooked: () => undefined,
      usesOf: async () => undefined,
      sharing: (worldIds) => ({ isIdle: () => false, worldIds }),
    },
    gates: {
      onHeard: (listener) => {
        applied = listener;
        return () => {};
      },
      state: () => create(GateStateSchema, { fence: 2n }),
    },
    stagesOf: async () => [],
    live: { show: () => {}, showAgain: () => {}, unsure: (keys) => void unsure.push(...keys) },
    runners: { dropped: () => {}, takenBack: () => {}, restate: () => {} },
    dropped: {
      load: async () => [...dropped.values()],
      add: (sessionId, sources) =>
        void dropped.set(sessionId, { sessionId, sources, timeMs: clock.nowMs() }),
      remove: (sessionId) => void dropped.delete(sessionId),
      close: () => {},
    },
    sources: new Map([
      ["day", true],
      ["wall", false],
    ]),
    sessionDeadMs,
  });
  opened.defer(() => feeds.close());
  const openGate = () => applied("w", create(GateStateSchema, { gate: Gate.OPEN }), "snapshot");
  const all = opened.move();
  return {
    ...{ feeds, dag, runners, clock, taken, returns, openGate, log, unsure },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A call that ends row 5, under a lease or without one. */
function lastEnd(
  sessionId: string,
  isArmed: boolean,
  fence = 2,
  isRefusedForNow = false,
): SliceCall {
  return {
    ...{ sessionId, worldId: "w", strategies: ["s"], ends: [{ source: "day", row: 5 }] },
    ...{ isArmed, fence, isRefusedForNow },
    refuse: () => {},
    answerAs: () => false,
  };
}

test("a runner that fell silent keeps its place, and is told to register again only once it lost it", async () => {
  await using rig = await openRig();
  const { feeds, runners, clock } = rig;
  runners.add("silent").add("heard");
  await feeds.ready();
  expect(feeds.unregistered("silent")).toEqual([]);
  const state = () =>
    create(FeedStateSchema, {
      source: "day",
      passedRow: 5n,
      runners: [{ sessionId: "silent" }, { sessionId: "heard" }],
    });

  for (let passedMs = 0; passedMs < reconnectMsMax + sessionDeadMs; passedMs += 500) {
    feeds.heard("heard");
    clock.advance(500);
  }

  const dropped = state();
  feeds.complete(dropped);
  expect(dropped).toMatchObject({
    droppedSessionIds: ["silent"],
    settled: false,
    runners: [{ sessionId: "heard", endedRow: -1n }],
    waitsForSessionIds: ["heard"],
  });
  expect([runners.has("silent"), feeds.unregistered("silent")]).toEqual([true, []]);

  for (let passedMs = 0; passedMs < forgetMs; passedMs += 2_000) {
    feeds.heard("heard");
    clock.advance(2_000);
  }
  await waitUntil(() => !runners.has("silent"), { what: "it is taken out of the set" });
  await feeds.refresh();
  expect(feeds.unregistered("silent")).toEqual(["day"]);
  expect(feeds.unregistered("heard")).toEqual([]);

  runners.add("silent");
  await feeds.refresh();
  expect(feeds.unregistered("silent")).toEqual([]);
});

test("a feed is settled once its returns are reported", async () => {
  await using rig = await openRig();
  const { feeds, returns } = rig;
  const isSettled = async () => {
    const state = create(FeedStateSchema, { source: "day", passedRow: 5n });
    return (await feeds.describe(state)).settled;
  };
  await feeds.feedEnded("day");
  returns.areReported = false;
  const before = await isSettled();
  returns.areReported = true;

  expect([before, await isSettled()]).toEqual([false, true]);
});

test("an end of a row that the log does not have is refused, of the next one it is not looked up", async () => {
  await using rig = await openRig();
  const { feeds } = rig;
  await feeds.ready();

  await feeds.checkRow("day", 5);
  await feeds.checkRow("day", 6);
  const far = feeds.checkRow("day", 1_000_000_000);

  await expect(far).rejects.toMatchObject({ reason: "INVALID_FIELD" });
  await expect(feeds.checkRow("nosuch", 5)).rejects.toMatchObject({ reason: "SOURCE_NOT_FOUND" });
  await feeds.checkRow("wall", 1_000_000_000);
});

test("a feed without rows has no first row either, wherever it is to begin", async () => {
  await using rig = await openRig(silentLogger, new Map(), false);
  const { feeds } = rig;
  await feeds.ready();

  for (const row of [0, 99, 100]) {
    await expect(feeds.checkRow("day", row)).rejects.toMatchObject({
      reason: "INVALID_FIELD",
      fields: [{ field: "row", description: "day has no row yet" }],
    });
  }
});

test("what a gateway that stops cannot ask any more is no warning, and no bug", async () => {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  await using rig = await openRig(createLogger({ name: "gateway", destination }));
  const { feeds, dag } = rig;

  feeds.openAll();
  feeds.close();
  dag.close();
  const late = feeds.ready();

  await expect(late).rejects.toMatchObject({ code: Code.Canceled, reason: "OUTCOME_UNKNOWN" });
  expect(lines).toEqual([]);
});

test("a slice does not end for a call that was sent before its sender knew of its lease", async () => {
  await using rig = await openRig();
  const { feeds, runners, taken, openGate } = rig;
  runners.add("runner");
  await feeds.ready();
  openGate();

  feeds.leaseGranted("runner");
  const early = feeds.end(lastEnd("runner", false), 10_000);
  early.catch(() => {});
  await feeds.refresh();
  expect(taken).toEqual([]);
  const armed = feeds.end(lastEnd("runner", true), 10_000);

  await expect(early).rejects.toMatchObject({ reason: "BARRIER_HELD" });
  await armed;
  expect(taken).toMatchObject([{ sessionId: "runner", isArmed: true }]);
});

test("a slice ends without a lease for a runner that has had one for longer than a call takes", async () => {
  await using rig = await openRig();
  const { feeds, runners, taken, clock, openGate } = rig;
  runners.add("runner");
  await feeds.ready();
  openGate();
  feeds.leaseGranted("runner");
  for (let passedMs = 0; passedMs <= 10_000; passedMs += 2_000) {
    feeds.heard("runner");
    feeds.leaseGranted("runner");
    clock.advance(2_000);
  }

  await feeds.end(lastEnd("runner", false), 10_000);

  expect(taken).toMatchObject([{ sessionId: "runner", isArmed: false }]);
});

test("a slice waits until a runner has a lease that was given since the gate opened, and of that gate", async () => {
  await using rig = await openRig();
  const { feeds, runners, taken, openGate } = rig;
  runners.add("runner");
  await feeds.ready();
  openGate();

  const before = feeds.end(lastEnd("runner", true, 1), 10_000);
  before.catch(() => {});
  feeds.leaseGranted("runner");
  await feeds.refresh();
  expect(taken).toEqual([]);

  const current = feeds.end(lastEnd("runner", true), 10_000);
  await current;
  expect(taken).toMatchObject([{ fence: 2 }]);
});

test("an end that was sent under the lease of before counts once the runner has a new one", async () => {
  await using rig = await openRig();
  const { feeds, runners, taken, openGate } = rig;
  runners.add("runner");
  await feeds.ready();
  openGate();

  const held = feeds.end(lastEnd("runner", true), 10_000);
  await feeds.refresh();
  expect(taken).toEqual([]);
  feeds.leaseGranted("runner");

  await held;
  expect(taken).toMatchObject([{ isArmed: true }]);
});

test("the time up to which buckets have closed is that of the last booked slice, of replayed feeds alone", async () => {
  await using rig = await openRig();
  const { feeds } = rig;
  expect(feeds.closedMs("day")).toBe(Number.NEGATIVE_INFINITY);
  await feeds.ready();

  expect(feeds.closedMs("wall")).toBe(Number.NEGATIVE_INFINITY);
  expect(feeds.closedMs("day")).toBe(500_000);
});

test("a runner whose targets are refused for longer than a gate is behind holds no feed", async () => {
  await using rig = await openRig();
  const { feeds, runners, clock, openGate } = rig;
  runners.add("runner");
  await feeds.ready();
  openGate();
  feeds.leaseGranted("runner");
  const waited = () => {
    const state = create(FeedStateSchema, { source: "day", passedRow: 5n });
    feeds.complete(state);
    return state.waitsForSessionIds;
  };

  await feeds.end(lastEnd("runner", true, 2, true), 10_000);
  expect(waited()).toEqual(["runner"]);
  for (let passedMs = 0; passedMs < 10_000; passedMs += 2_000) {
    feeds.heard("runner");
    clock.advance(2_000);
  }
  expect(waited()).toEqual([]);
  await feeds.end(lastEnd("runner", true, 2, true), 10_000);
  expect(waited()).toEqual([]);

  await feeds.end(lastEnd("runner", true), 10_000);
  await feeds.end(lastEnd("runner", true, 2, true), 10_000);
  expect(waited()).toEqual(["runner"]);
});

const stateOf = (feeds: ReplayFeeds, ...sessionIds: string[]) => {
  const runners = sessionIds.map((sessionId) => ({ sessionId }));
  const state = create(FeedStateSchema, { source: "day", passedRow: 5n, runners });
  feeds.complete(state);
  return state;
};

test("a gateway that was away itself drops no runner before it has had the time to connect again", async () => {
  await using rig = await openRig();
  const { feeds, runners, clock } = rig;
  runners.add("runner");
  await feeds.ready();

  clock.advance(sessionDeadMs + 8_000);
  feeds.heard("runner");
  clock.advance(1_000);

  expect(stateOf(feeds, "runner")).toMatchObject({
    droppedSessionIds: [],
    waitsForSessionIds: ["runner"],
  });
});

test("a gateway that starts again neither waits for a runner that it had dropped, nor warns of it once more", async () => {
  const stored = new Map<string, DroppedRunner>();
  {
    await using before = await openRig(silentLogger, stored);
    before.runners.add("dead");
    await before.feeds.ready();
    before.clock.advance(reconnectMsMax + sessionDeadMs);
  }
  expect([...stored.keys()]).toEqual(["dead"]);
  const lines: string[] = [];
  const logger = createLogger({
    name: "gw",
    destination: { write: (line) => void lines.push(line) },
  });
  await using rig = await openRig(logger, stored);
  const { feeds, runners, clock } = rig;
  runners.add("dead");
  await feeds.ready();
  clock.advance(reconnectMsMax + sessionDeadMs * 2);

  expect(stateOf(feeds, "dead")).toMatchObject({
    ...{ droppedSessionIds: ["dead"], waitsForSessionIds: [], runners: [] },
  });
  expect(lines).toEqual([]);

  await feeds.end(lastEnd("dead", false), 10_000);
  expect(stateOf(feeds, "dead")).toMatchObject({
    ...{ droppedSessionIds: [], runners: [{ sessionId: "dead", endedRow: 5n }] },
  });
  expect([...stored.keys()]).toEqual([]);
});

const rowAt = (row: number) => ({ row, toRow: row, timeMs: row * 100_000 });
const offerAs = (sessionId: string) => ({ sessionId, signal: new AbortController().signal });

test("a replay goes on although the answer to a row that was stored is lost", async () => {
  await using rig = await openRig();
  const { feeds, runners, clock, log, unsure, taken } = rig;
  runners.add("runner");
  await feeds.ready();
  await feeds.end(lastEnd("runner", false), 10_000);
  const held = await feeds.offer("day", "r6", [rowAt(6)], offerAs("runner"));
  expect(await held.passed()).toBe(6);

  // The append fails; the row comes into the log later, and its holder goes on from there.
  feeds.lookAgain("day");
  clock.advance(1_000);
  await feeds.refresh();
  const standing = stateOf(feeds);
  expect(standing).toMatchObject({ waitsForSources: [], slicePhase: SlicePhase.APPEND });
  expect(standing.sliceTime).toMatchObject({ seconds: 600n });
  clock.advance(9_000);
  expect(feeds.standsAt("w")).toMatch(
    /^slice 1970-01-01T00:10:00.000Z stands since .*: its rows are being stored$/,
  );
  const next = await feeds.offer("day", "r7", [rowAt(7)], offerAs("runner"));
  const early = feeds.end(
    { ...lastEnd("runner", false), ends: [{ source: "day", row: 6 }] },
    10_000,
  );
  log.row = 6;
  await waitUntil(() => {
    clock.advance(1_000);
    feeds.heard("runner");
    return taken.length === 2;
  });
  await early;

  expect(taken.at(-1)).toMatchObject({ ends: [{ source: "day", row: 6 }] });
  expect(unsure).toEqual(["blake3:day"]);
  expect(await next.passed()).toBe(7);
});

test("a row that its holder saw in the log first is looked for there by its timeline", async () => {
  await using rig = await openRig();
  const { feeds, runners, clock, log, taken } = rig;
  runners.add("runner");
  await feeds.ready();
  await feeds.end(lastEnd("runner", false), 10_000);
  const lost = await feeds.offer("day", "r6", [rowAt(6)], offerAs("gone"));
  await lost.passed();
  log.row = 6;

  const next = await feeds.offer("day", "r7", [rowAt(7)], offerAs("runner"));
  const end = feeds.end({ ...lastEnd("runner", false), ends: [{ source: "day", row: 6 }] }, 10_000);
  await waitUntil(() => {
    clock.advance(1_000);
    feeds.heard("runner");
    return taken.length === 2;
  });
  await end;

  expect(await next.passed()).toBe(7);
});
