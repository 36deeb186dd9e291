import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { ReleaseReason } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { ManualClock, waitUntil } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { describeEachDatabase } from "../testing/each-database.ts";
import { keyOf } from "../testing/graphs.ts";
import { openDag, type TestDag } from "../testing/open-dag.ts";
import { float64s, outcomeOf, row, rows, start } from "../testing/records.ts";
import { lease, submitGraph } from "../testing/submit.ts";

const close = keyOf("close");
const ret1 = keyOf("ret1");
const wait = durationFromMs(30_000);

/** Begins to wait for `close`; resolves once the wait is registered. */
async function waitFor(dag: TestDag, sessionId: string, build = "b1") {
  const keys = [{ computeKey: close, build }];
  const before = await candidates(dag);
  const answer = dag.queues.acquireLeases({ ticket: sessionId, keys, wait });
  await waitUntil(async () => (await candidates(dag)) > before, { what: `${sessionId} waits` });
  return { epoch: answer.then(({ leases }) => Number(leases[0]?.leaseEpoch ?? 0n)) };
}

async function candidates(dag: TestDag): Promise<number> {
  const { queues } = await dag.queues.listQueueStats({ computeKeys: [close] });
  return queues[0]!.candidates;
}

async function renew(dag: TestDag, sessionId: string, epoch: number) {
  const leases = [{ computeKey: close, leaseEpoch: BigInt(epoch) }];
  const { renewals } = await dag.queues.renewLeases({ ticket: sessionId, leases });
  return { renewed: renewals[0]!.renewed, epoch: Number(renewals[0]!.currentEpoch) };
}

async function publish(dag: TestDag, records: readonly QueueRecord[], ticket = "s1") {
  const { results } = await dag.data.publish({ ticket, records: [...records] });
  return results.map(outcomeOf);
}

describeEachDatabase("node leases", (databases) => {
  test("all vacant keys of an ask are granted in one answer, with timers and the log's state", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const keys = [close, ret1].map((computeKey) => ({ computeKey, build: "b1" }));

    const { leases } = await dag.queues.acquireLeases({ ticket: "s1", keys, wait });

    expect(leases.map((one) => one.leaseEpoch)).toEqual([1n, 1n]);
    const { lease: length, margin, renewInterval, checkpoint } = leases[0]!;
    expect([length, margin, renewInterval].map((one) => durationMs(one!))).toEqual([
      10_000, 1_000, 3_000,
    ]);
    expect(checkpoint).toMatchObject({ epoch: 0n, nextSeq: 0n, nextRow: 0n, ended: false });
    expect(checkpoint?.knownAtMs).toBeUndefined();
  });

  test("a silent holder is followed by a waiting session, and its late record is void after the START", async () => {
    const clock = new ManualClock();
    await using dag = await openDag(databases(), { clock });
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    await publish(dag, [start(close, 1), ...rows(close, 1, 0, 3)]);
    const second = await waitFor(dag, "s2");
    clock.advance(9_000);
    expect(await renew(dag, "s1", 1)).toEqual({ renewed: true, epoch: 1 });
    clock.advance(9_900);
    expect(await candidates(dag)).toBe(1);

    clock.advance(300);

    expect(await second.epoch).toBe(2);
    expect(await publish(dag, [row(close, 1, 3)])).toEqual(["ok"]);
    expect(await publish(dag, [start(close, 2)], "s2")).toEqual(["ok"]);
    expect(await publish(dag, [row(close, 1, 4)])).toEqual(["STALE_EPOCH"]);
    expect(await publish(dag, [row(close, 2, 4)], "s2")).toEqual(["ok"]);
    expect(await renew(dag, "s1", 1)).toEqual({ renewed: false, epoch: 2 });
  });

  test("a holder that is silent for longer than its lease is not named as one, until it renews", async () => {
    const clock = new ManualClock();
    await using dag = await openDag(databases(), { clock });
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    const named = async () => {
      const { queues } = await dag.queues.listQueueStats({ computeKeys: [close] });
      return queues[0]!.holderSessionId;
    };
    clock.advance(9_999);
    expect(await named()).toBe("s1");

    clock.advance(1);
    expect(await named()).toBe("");
    await renew(dag, "s1", 1);

    expect(await named()).toBe("s1");
  });

  test("a request that takes the place of an earlier one of its session still waits for the key", async () => {
    await using dag = await openDag(databases(), { clock: new ManualClock() });
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    const keys = [{ computeKey: close, build: "b1" }];
    const earlier = new AbortController();
    const { signal } = earlier;
    const given = dag.queues.acquireLeases({ ticket: "s2", keys, wait }, { signal });
    given.catch(() => {});
    await waitUntil(async () => (await candidates(dag)) === 1, { what: "s2 waits" });
    const later = dag.queues.acquireLeases({ ticket: "s2", keys, wait });
    // Answered after the one before it was taken: calls of a connection are taken in order.
    await candidates(dag);

    earlier.abort();
    await expect(given).rejects.toThrow();
    await candidates(dag);
    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.STOP });

    expect((await later).leases[0]?.leaseEpoch).toBe(2n);
  });

  test("a lease that was given up goes to the waiting session at once", async () => {
    await using dag = await openDag(databases(), { clock: new ManualClock() });
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    const second = await waitFor(dag, "s2");

    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.STOP });

    expect(await second.epoch).toBe(2);
  });

  test("a wait in vain ends with no lease, and leaves no candidate behind", async () => {
    const clock = new ManualClock();
    await using dag = await openDag(databases(), { clock });
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    const second = await waitFor(dag, "s2");

    for (let at = 0; at < 10; at += 1) {
      clock.advance(3_000);
      await renew(dag, "s1", 1);
    }

    expect(await second.epoch).toBe(0);
    expect(await candidates(dag)).toBe(0);
  });

  test("a session is given the lease it holds again, under the same epoch", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);

    expect(await lease(dag, "s1", [close])).toEqual([1]);
    expect(await lease(dag, "s1", [close])).toEqual([1]);
    expect(await lease(dag, "s2", [close])).toEqual([0]);
  });

  test("after a restart the holder goes on under its epoch, and nobody new comes for one lease", async () => {
    const clock = new ManualClock();
    {
      await using dag = await openDag(databases(), { clock });
      await submitGraph(dag);
      await lease(dag, "s1", [close]);
    }
    clock.advance(60_000);
    await using dag = await openDag(databases(), { clock });

    expect(await lease(dag, "s2", [close])).toEqual([0]);
    clock.advance(9_000);
    expect(await renew(dag, "s1", 1)).toEqual({ renewed: true, epoch: 1 });
    clock.advance(9_999);
    expect(await lease(dag, "s2", [close])).toEqual([0]);
    clock.advance(2);
    expect(await lease(dag, "s2", [close])).toEqual([2]);
  });

  test("an epoch is not issued twice, whoever held it and however often the service restarts", async () => {
    const epochs: number[] = [];
    for (let at = 0; at < 4; at += 1) {
      await using dag = await openDag(databases());
      if (at === 0) await submitGraph(dag);
      const [epoch] = await lease(dag, `s${at}`, [close]);
      epochs.push(epoch!);
      const leases = [{ computeKey: close, leaseEpoch: BigInt(epoch!) }];
      await dag.queues.releaseLeases({ ticket: `s${at}`, leases, reason: ReleaseReason.STOP });
    }
    expect(epochs).toEqual([1, 2, 3, 4]);
  });

  test("a build that diverged from the log is not granted the key again", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    await lease(dag, "s1", [close], "bad");
    const leases = [{ computeKey: close, leaseEpoch: 1n }];

    await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.DIVERGED });

    expect(await lease(dag, "s1", [close], "bad")).toEqual([0]);
    const keys = [close, ret1].map((computeKey) => ({ computeKey, build: "bad" }));
    const told = await dag.queues.acquireLeases({ ticket: "s1", keys });
    expect(told.excludedComputeKeys).toEqual([close]);
    expect(told.leases.map(({ computeKey }) => computeKey)).toEqual([ret1]);
    const { queues } = await dag.queues.listQueueStats({ computeKeys: [close, ret1] });
    expect(new Map(queues.map((each) => [each.queue?.computeKey, each.excludedBuilds]))).toEqual(
      new Map([
        [close, 1],
        [ret1, 0],
      ]),
    );
    expect(await lease(dag, "s2", [close], "good")).toEqual([2]);
  });

  test("a session of a build that diverged is no candidate, however long it asks", async () => {
    await using dag = await openDag(databases(), { clock: new ManualClock() });
    await submitGraph(dag);
    await lease(dag, "s1", [close], "bad");
    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    await dag.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.DIVERGED });
    await lease(dag, "s2", [ret1]);
    const asking = new AbortController();
    const keys = [close, ret1].map((computeKey) => ({ computeKey, build: "bad" }));
    const { signal } = asking;
    const asked = dag.queues.acquireLeases({ ticket: "s3", keys, wait }, { signal });
    asked.catch(() => {});
    const stats = async () => {
      const { queues } = await dag.queues.listQueueStats({ computeKeys: [close, ret1] });
      return new Map(queues.map((each) => [each.queue?.computeKey, each.candidates]));
    };

    await waitUntil(async () => (await stats()).get(ret1) === 1, { what: "s3 waits" });

    expect((await stats()).get(close)).toBe(0);
    asking.abort();
  });

  test("a key without a queue is refused by name", async () => {
    await using dag = await openDag(databases());

    await expect(lease(dag, "s1", [close])).rejects.toMatchObject({
      reason: "QUEUE_NOT_FOUND",
      metadata: { compute_key: close },
    });
  });

  test("the last three snapshots that the log confirms are kept; others are not believed", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    await lease(dag, "s1", [close]);
    await publish(dag, [start(close, 1), ...rows(close, 1, 0, 6)]);
    const snapshot = (at: number, hash = at) => ({
      computeKey: close,
      seq: BigInt(at),
      row: BigInt(at),
      stateHash: float64s(hash),
      state: new Uint8Array([at]),
    });
    const snapshots = [...[0, 1, 2, 4, 5].map((at) => snapshot(at)), snapshot(3, 99), snapshot(7)];

    const put = await dag.queues.putSnapshots({ ticket: "s1", snapshots });

    expect([put.stored, put.ignored]).toEqual([5, 2]);
    const got = await dag.queues.getSnapshots({ computeKeys: [close] });
    expect(got.snapshots.map((one) => [Number(one.row), ...one.state])).toEqual([
      [5, 5],
      [4, 4],
      [2, 2],
    ]);
  });

  test("snapshots come as many keys as fit into one answer, and the other keys are named", async () => {
    await using dag = await openDag(databases());
    await submitGraph(dag);
    const keys = ["close", "ret1", "vol20"].map((name) => keyOf(name)).sort();
    await lease(dag, "s1", keys);
    const state = new Uint8Array(1024 * 1024);
    for (const computeKey of keys) {
      await publish(dag, [start(computeKey, 1), ...rows(computeKey, 1, 0, 3)]);
      const snapshots = [0, 1, 2].map((at) => {
        const place = { computeKey, seq: BigInt(at), row: BigInt(at) };
        return { ...place, stateHash: float64s(at), state };
      });
      await dag.queues.putSnapshots({ ticket: "s1", snapshots });
    }
    const [first, second, third] = keys;
    const get = async (computeKeys: string[]) => {
      const { snapshots, remainingKeys } = await dag.queues.getSnapshots({ computeKeys });
      return { keys: snapshots.map((one) => one.computeKey), remainingKeys };
    };

    const some = await get(keys);

    expect(some.keys).toEqual([first, first, first, second, second, second]);
    expect(some.remainingKeys).toEqual([third]);
    expect(await get(some.remainingKeys)).toEqual({
      keys: [third, third, third],
      remainingKeys: [],
    });
  });
});
