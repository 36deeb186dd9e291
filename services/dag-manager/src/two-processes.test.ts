import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { QueueService, ReleaseReason } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { ChannelTransport, connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { systemClock } from "@qmtl/service-kit";
import { openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, startChildScript, waitUntil } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { backtest, demoGraphs, keyOf } from "./testing/graphs.ts";
import { outcomeOf, row, rows, start, valuesOf } from "./testing/records.ts";

/** Longer than a process on a busy machine is held up. */
const leaderMs = 6_000;
const renewMs = 400;
const close = keyOf("close");

interface ProcessOptions {
  readonly leaderMs: number;
  readonly renewMs: number;
  readonly failpoint: string;
}

/** A process of the service, and a client of it that never retries. */
async function startProcess(dsn: string, more: Partial<ProcessOptions> = {}) {
  const options = { leaderMs, renewMs, failpoint: "", ...more };
  const args = [dsn, String(options.leaderMs), String(options.renewMs), options.failpoint];
  const child = startChildScript(new URL("./testing/serve-dag.child.ts", import.meta.url), args);
  const port = await waitUntil(() => child.lines[0], { timeoutMs: 90_000, what: "its port" });
  onTestFinished(() => child.kill());
  const url = `http://127.0.0.1:${port}`;
  return { url, pid: child.pid, kill: () => child.kill(), ...clientOf(url) };
}

/** A client of one process, or of several of which one leads. */
function clientOf(urls: string) {
  const connection = connectTo(urls, { timeoutMs: 20_000 });
  onTestFinished(() => connection.close());
  const data = connection.client(QueueDataService);
  return {
    queues: connection.client(QueueService),
    diff: connection.client(DiffService),
    data,
    /** The outcome of each record; the same word for all when the call failed. */
    async publish(records: QueueRecord[]): Promise<string[]> {
      try {
        const { results } = await data.publish({ ticket: "s1", records });
        return results.map(outcomeOf);
      } catch (error) {
        return records.map(() => (error instanceof QmtlError ? error.reason : "lost"));
      }
    },
    async values(): Promise<number[]> {
      const records: QueueRecord[] = [];
      const request = { keys: [{ computeKey: close }], historyOnly: true };
      for await (const chunk of data.consume(request)) records.push(...chunk.records);
      return valuesOf(records);
    },
  };
}

type Process = ReturnType<typeof clientOf>;

/** Submits the demo's graph and takes the lease of `close`; resolves to its epoch. */
async function holdClose(at: Process): Promise<number> {
  const request = { strategyId: "A", graph: demoGraphs.a, contexts: [backtest] };
  for await (const _ of at.diff.diff({ ...request, submissionId: "sub" }));
  const keys = [{ computeKey: close, build: "b1" }];
  const { leases } = await at.queues.acquireLeases({ ticket: "s1", keys });
  return Number(leases[0]!.leaseEpoch);
}

/** Publishes until everything is stored, as a holder does; resolves to the milliseconds that took. */
async function untilStored(at: Process, records: QueueRecord[]): Promise<number> {
  const sinceMs = systemClock.monotonicMs();
  const isStored = async () => (await at.publish(records)).every((result) => result === "ok");
  await waitUntil(isStored, { timeoutMs: 60_000, what: "the other process takes over" });
  return systemClock.monotonicMs() - sinceMs;
}

/** What a process reports about its health. */
async function healthOf(url: string) {
  const channel = new ChannelTransport(url);
  onTestFinished(() => channel.close());
  return channel.health(20_000);
}

const counted = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

describePostgres("two processes of the DAG Manager", (server) => {
  test("the one that leads is killed: the other takes over in time, and no row is lost or doubled", async () => {
    const dsn = await server().createDatabase();
    const first = await startProcess(dsn);
    const epoch = await holdClose(first);
    const second = await startProcess(dsn);
    expect(await second.publish([start(close, epoch)])).toEqual(["NOT_LEADER"]);
    expect(await first.publish([start(close, epoch)])).toEqual(["ok"]);
    for (let at = 0; at < 30; at += 3) await untilStored(first, rows(close, epoch, at, 3));

    const last = first.publish(rows(close, epoch, 30, 3));
    await first.kill();
    await last;
    const tookMs = await untilStored(second, rows(close, epoch, 30, 3));

    expect(tookMs).toBeLessThan(2 * (leaderMs + renewMs) + 5_000);
    await untilStored(second, rows(close, epoch, 33, 3));
    expect(await second.values()).toEqual(counted(36));
    const leases = [{ computeKey: close, leaseEpoch: BigInt(epoch) }];
    const { renewals } = await second.queues.renewLeases({ ticket: "s1", leases });
    expect(renewals[0]).toMatchObject({ renewed: true, currentEpoch: BigInt(epoch) });
  }, 240_000);

  test("the one that waits answers health NOT_SERVING; a client of both addresses loses at most the lease and a second", async () => {
    const dsn = await server().createDatabase();
    const times = { leaderMs: 2_000, renewMs: 500 };
    const first = await startProcess(dsn, times);
    const second = await startProcess(dsn, times);
    const both = clientOf(`${second.url},${first.url}`);
    expect(await healthOf(first.url)).toBe("serving");
    expect(await healthOf(second.url)).toBe("not serving");
    const epoch = await holdClose(both);
    expect(await both.publish([start(close, epoch)])).toEqual(["ok"]);
    expect(await both.publish(rows(close, epoch, 0, 3))).toEqual(["ok", "ok", "ok"]);

    await first.kill();
    const tookMs = await untilStored(both, rows(close, epoch, 3, 3));

    expect(tookMs).toBeLessThan(times.leaderMs + 1_000);
    expect(await healthOf(second.url)).toBe("serving");
    expect(await both.values()).toEqual(counted(6));
  }, 240_000);

  test("a leader that did not renew in time is refused by the store, whatever it believes", async () => {
    const dsn = await server().createDatabase();
    const first = await startProcess(dsn, { leaderMs: 600_000, renewMs: 600_000 });
    const epoch = await holdClose(first);
    expect(await first.publish([start(close, epoch)])).toEqual(["ok"]);
    expect(await first.publish(rows(close, epoch, 0, 2))).toEqual(["ok", "ok"]);
    const leases = [{ computeKey: close, leaseEpoch: BigInt(epoch) }];
    const second = await startProcess(dsn);
    await using db = await openPostgres({ dsn, schema: "dag" });
    await db.query("update dag.leadership set until = now()"); // its time is over
    const leads = (one: Process) =>
      one.queues.renewLeases({ ticket: "s1", leases }).then(
        () => true,
        () => false,
      );
    await waitUntil(() => leads(second), { timeoutMs: 60_000, what: "the second leads" });

    expect(await leads(first)).toBe(true);
    expect(await first.publish([row(close, epoch, 2)])).toEqual(["NOT_LEADER"]);
    expect(await first.publish([row(close, epoch, 1)])).toEqual(["NOT_LEADER"]);
    const graph = { strategyId: "B", graph: demoGraphs.b, contexts: [backtest] };
    const diff = first.diff.diff({ ...graph, submissionId: "sub-b" })[Symbol.asyncIterator]();
    await expect(diff.next()).rejects.toMatchObject({ reason: "NOT_LEADER" });
    await expect(
      first.queues.releaseLeases({ ticket: "s1", leases, reason: ReleaseReason.STOP }),
    ).rejects.toMatchObject({ reason: "NOT_LEADER" });

    expect(await second.publish([row(close, epoch, 2)])).toEqual(["ok"]);
    expect(await second.values()).toEqual(counted(3));
  }, 240_000);

  test("a reader at the former leader hears what the new one appends", async () => {
    const dsn = await server().createDatabase();
    const first = await startProcess(dsn, { leaderMs: 2_000 });
    const epoch = await holdClose(first);
    await first.publish([start(close, epoch), ...rows(close, epoch, 0, 3)]);
    const heard: number[] = [];
    const reading = (async () => {
      for await (const { records } of first.data.consume({ keys: [{ computeKey: close }] })) {
        heard.push(...valuesOf(records));
        if (heard.length >= 6) return;
      }
    })();
    await waitUntil(() => heard.length === 3, { what: "the first rows" });
    const second = await startProcess(dsn);

    process.kill(first.pid, "SIGSTOP");
    await untilStored(second, rows(close, epoch, 3, 2));
    process.kill(first.pid, "SIGCONT");
    await waitUntil(() => heard.length === 5, { what: "the rows of the new leader" });
    await untilStored(second, [row(close, epoch, 5)]);
    await reading;

    expect(heard).toEqual(counted(6));
  }, 240_000);

  test("killed between the append and its answer: the same publish again is done, once", async () => {
    const dsn = await server().createDatabase();
    const first = await startProcess(dsn, { failpoint: "dag.publish.after_commit:3" });
    const epoch = await holdClose(first);
    const second = await startProcess(dsn);
    expect(await first.publish([start(close, epoch)])).toEqual(["ok"]);
    expect(await first.publish(rows(close, epoch, 0, 2))).toEqual(["ok", "ok"]);

    const answer = await first.publish(rows(close, epoch, 2, 3));
    await untilStored(second, rows(close, epoch, 2, 3));

    expect(answer).not.toContain("ok");
    await untilStored(second, [row(close, epoch, 5)]);
    expect(await second.values()).toEqual(counted(6));
    expect(await second.publish([row(close, epoch, 3, 99)])).toEqual(["REPEATED_SEQ"]);
  }, 240_000);
});
