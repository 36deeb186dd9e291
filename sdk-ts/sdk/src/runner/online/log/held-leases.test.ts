import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  AcquireLeasesResponseSchema,
  QueueService,
  ReleaseLeasesResponseSchema,
  RenewLeasesResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueRecordSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { expect, onTestFinished, test } from "vitest";
import { pause } from "../../../control/clock.ts";
import { ManualClock, waitUntil } from "../../../testing/index.ts";
import { StartedClock } from "../session/ongoing-run.ts";
import { FeedWatermarks } from "./feed-watermarks.ts";
import { HeldLeases } from "./held-leases.ts";
import { QueueReplica } from "./queue-replica.ts";

const times = {
  lease: durationFromMs(10_000),
  margin: durationFromMs(1_000),
  renewInterval: durationFromMs(3_000),
};

/** The lease of one key at its server: a session that has it is granted it again, under the same epoch. */
class LeaseServer {
  epoch = 0;
  isHeld = false;
  isReleaseLost = false;
  asks = 0;
  /** A release waits for this before it counts. */
  slow: Promise<void> = Promise.resolve();

  client(): Client<typeof QueueService> {
    const transport = createRouterTransport(({ service }) =>
      service(QueueService, {
        acquireLeases: async ({ keys }, { signal }) => {
          this.asks++;
          const key = keys[0];
          if (key === undefined) return {};
          if (this.asks > 50) await forever(signal);
          if (!this.isHeld) this.epoch++;
          this.isHeld = true;
          const lease = { computeKey: key.computeKey, leaseEpoch: BigInt(this.epoch), ...times };
          return { leases: [lease] };
        },
        renewLeases: ({ leases }) => ({
          renewals: leases.map(({ computeKey, leaseEpoch }) => ({
            computeKey,
            renewed: this.isHeld && Number(leaseEpoch) === this.epoch,
            currentEpoch: BigInt(this.epoch),
          })),
        }),
        releaseLeases: async () => {
          await this.slow;
          if (this.isReleaseLost) throw new Error("nobody there");
          this.isHeld = false;
          return {};
        },
      }),
    );
    return createClient(QueueService, transport);
  }
}

function forever(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

const never = new AbortController().signal;

function rig(server: LeaseServer, more: Partial<Client<typeof QueueService>> = {}) {
  const clock = new ManualClock();
  const keeper = new HeldLeases({
    queues: { ...server.client(), ...more },
    clock: new StartedClock(clock),
    tickets: { call: (make) => make("t") },
    listener: { mayHold: () => true, leasesAnswered: () => {} },
    reports: { problem: () => {} },
  });
  const replica = (computeKey = "k"): QueueReplica =>
    new QueueReplica(
      {
        computeKey,
        nodeId: "n",
        name: "n",
        build: "b",
        isSource: false,
        windowMax: 4,
        start: () => {
          const content = { build: "b", feedFingerprint: "" };
          return { content, origin: { row: 0, warmFromRow: 0, stateHash: "" } };
        },
      },
      {
        watermarks: new FeedWatermarks(),
        elapsedMs: () => clock.nowMs(),
        publish: () => {},
        release: (of, epoch, reason) => keeper.release(of, epoch, reason),
        snapshot: () => Promise.resolve(),
      },
    );
  keeper.start();
  onTestFinished(() => keeper.stop());
  return { clock, keeper, replica };
}

/** The START of an epoch as the log delivers it. */
function startOf(epoch: number): Parameters<QueueReplica["read"]>[0] {
  return create(QueueRecordSchema, {
    computeKey: "k",
    leaseEpoch: BigInt(epoch),
    body: { case: "start", value: { build: "b", origin: { row: 0n, warmFromRow: 0n } } },
  });
}

test("a lease that the session has from before, with its START in the log, is given back and asked for anew", async () => {
  const server = new LeaseServer();
  server.epoch = 1;
  server.isHeld = true;
  const { keeper, replica } = rig(server);
  const own = replica();
  own.read(startOf(1));

  keeper.add([own]);

  await waitUntil(() => own.phase === "CLAIMED", "a claim under a new epoch");
  expect(own.epoch).toBe(2);
});

test("a queue that is being given up is asked for only afterwards, under a new epoch", async () => {
  const server = new LeaseServer();
  const { keeper, replica } = rig(server);
  const old = replica();
  keeper.add([old]);
  await waitUntil(() => old.phase === "CLAIMED", "the first claim");
  let finish = (): void => {};
  server.slow = new Promise((resolve) => {
    finish = resolve;
  });

  keeper.drop([old]);
  const asks = server.asks;
  const next = replica();
  keeper.add([next]);
  await new Promise((resolve) => setImmediate(resolve));
  expect([next.phase, server.asks]).toEqual(["WAITING", asks]);
  finish();

  await waitUntil(() => next.phase === "CLAIMED", "the second claim");
  expect(next.epoch).toBe(2);
});

test("a lease that nobody has any more is asked for again once its time is over", async () => {
  const server = new LeaseServer();
  const { clock, keeper, replica } = rig(server);
  const own = replica();
  keeper.add([own]);
  await waitUntil(() => own.phase === "CLAIMED", "the first claim");
  server.isHeld = false;
  clock.advance(3_000);
  await new Promise((resolve) => setImmediate(resolve));
  expect([own.phase, own.epoch]).toEqual(["CLAIMED", 1]);

  await waitUntil(() => {
    clock.advance(3_000);
    return own.epoch === 2;
  }, "a claim under a new epoch");
});

test("a lease whose last row is held somewhere is given back when everything ends", async () => {
  const server = new LeaseServer();
  const { keeper, replica } = rig(server);
  const source = replica();
  keeper.add([source]);
  await waitUntil(() => source.phase === "CLAIMED", "the claim");

  // Its START is not effective, so the window does not close.
  keeper.drop([source]);
  await keeper.stop();

  expect(server.isHeld).toBe(false);
});

test("a lease granted to a queue that was dropped meanwhile is given back", async () => {
  const server = new LeaseServer();
  const client = server.client();
  let answer = (): void => {};
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const { keeper, replica } = rig(server, {
    // The answer has been read already when the call is cancelled.
    acquireLeases: async (request) => {
      const granted = await client.acquireLeases(request);
      await held;
      return granted;
    },
  });
  const own = replica();
  keeper.add([own]);
  await waitUntil(() => server.isHeld, "the grant");

  keeper.drop([own]);
  answer();
  await keeper.stop();

  expect(server.isHeld).toBe(false);
  expect(own.phase).toBe("WAITING");
});

/** The answer of a server at which every lease named is still held, under its first epoch. */
function allRenewed(leases: readonly { readonly computeKey?: string }[]) {
  const renewals = leases.map(({ computeKey = "" }) => ({
    computeKey,
    renewed: true,
    currentEpoch: 1n,
  }));
  return create(RenewLeasesResponseSchema, { renewals });
}

test("a session with more queues than one call may name renews them all, 1,000 at a time", async () => {
  const renewed: string[][] = [];
  const { clock, keeper, replica } = rig(new LeaseServer(), {
    acquireLeases: async ({ keys }) => {
      const leases = (keys ?? []).map(({ computeKey = "" }) => ({
        computeKey,
        leaseEpoch: 1n,
        ...times,
      }));
      return create(AcquireLeasesResponseSchema, { leases });
    },
    renewLeases: async ({ leases }) => {
      renewed.push((leases ?? []).map(({ computeKey }) => computeKey ?? ""));
      return allRenewed(leases ?? []);
    },
  });
  const all = Array.from({ length: 2_500 }, (_, at) => replica(`k${at}`));
  keeper.add(all);
  await waitUntil(() => all.every(({ phase }) => phase === "CLAIMED"), "all claims");

  renewed.length = 0;
  clock.advance(3_000);
  await waitUntil(() => renewed.length >= 3, "the renewals");

  expect(renewed.map(({ length }) => length)).toEqual([1_000, 1_000, 500]);
  expect(new Set(renewed.flat()).size).toBe(2_500);
});

test("leases that are given back at one moment go to the gateway in one call for each 1,000", async () => {
  const returned: string[][] = [];
  const { keeper, replica } = rig(new LeaseServer(), {
    releaseLeases: async ({ leases }) => {
      returned.push((leases ?? []).map(({ computeKey }) => computeKey ?? ""));
      return create(ReleaseLeasesResponseSchema, {});
    },
  });
  const all = Array.from({ length: 1_500 }, (_, at) => replica(`k${at}`));

  for (const one of all) keeper.release(one, 1, "clean");
  await waitUntil(() => returned.length > 1, "the calls");
  await keeper.stop();

  expect(returned.map(({ length }) => length)).toEqual([1_000, 500]);
  expect(new Set(returned.flat()).size).toBe(1_500);
});

test("queues that others hold do not keep the rest from being requested", async () => {
  const { clock, keeper, replica } = rig(new LeaseServer(), {
    // All but one belong to another session; the call waits as long as it was told to.
    acquireLeases: async ({ keys, wait }, options) => {
      const free = (keys ?? []).filter(({ computeKey }) => computeKey === "free");
      const waitMs = Number(wait?.seconds ?? 0) * 1_000;
      if (free.length === 0 && waitMs > 0) await pause(clock, waitMs, options?.signal ?? never);
      const leases = free.map(() => ({ computeKey: "free", leaseEpoch: 1n, ...times }));
      return create(AcquireLeasesResponseSchema, { leases });
    },
    renewLeases: async ({ leases }) => allRenewed(leases ?? []),
  });
  const taken = Array.from({ length: 1_000 }, (_, at) => replica(`k${at}`));
  const free = replica("free");

  keeper.add([...taken, free]);

  await waitUntil(() => free.phase === "CLAIMED", "the claim of the free queue");
});

test("seven requests that take turns share the wait in whole milliseconds, since no other can be sent", async () => {
  const waits: number[] = [];
  const server = createRouterTransport(({ service }) =>
    service(QueueService, {
      acquireLeases: async ({ wait }, { signal }) => {
        waits.push(durationMs(wait!));
        if (waits.length > 7) await forever(signal);
        return {};
      },
    }),
  );
  const { acquireLeases } = createClient(QueueService, server);
  const { keeper, replica } = rig(new LeaseServer(), { acquireLeases });

  keeper.add(Array.from({ length: 6_001 }, (_, at) => replica(`k${at}`)));

  await waitUntil(() => waits.length === 8, "a request that waits");
  expect(waits).toEqual([0, 0, 0, 0, 0, 0, 0, 4_285]);
});

test("a queue that this build has computed otherwise is asked for once, and known as one that it may not continue", async () => {
  const server = new LeaseServer();
  const asked: string[][] = [];
  const acquireLeases: Client<typeof QueueService>["acquireLeases"] = async ({ keys }) => {
    asked.push((keys ?? []).map(({ computeKey }) => computeKey ?? ""));
    await new Promise((resolve) => setImmediate(resolve));
    return create(AcquireLeasesResponseSchema, { excludedComputeKeys: ["other"] });
  };
  const { keeper, replica } = rig(server, { acquireLeases });
  const [other, free] = [replica("other"), replica("free")];

  keeper.add([other, free]);

  await waitUntil(() => asked.length > 2, "further requests");
  expect(asked.slice(0, 3)).toEqual([["other", "free"], ["free"], ["free"]]);
  expect([other.isExcluded, free.isExcluded]).toEqual([true, false]);
});
