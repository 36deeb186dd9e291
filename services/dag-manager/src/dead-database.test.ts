import { Code } from "@connectrpc/connect";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { connectTo, type QmtlError } from "@qmtl/sdk/rpc";
import {
  type LeadershipStatus,
  openGrpcServer,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openPostgres } from "@qmtl/service-kit/db";
import { describeOwnPostgres, waitUntil } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { createDagManager } from "./index.ts";
import { backtest, demoGraphs, keyOf } from "./testing/graphs.ts";
import { testConfig } from "./testing/open-dag.ts";
import { start } from "./testing/records.ts";
import { testTickets } from "./testing/test-tickets.ts";

const close = keyOf("close");

describeOwnPostgres("the only DAG Manager, when its database is killed", (server) => {
  test("says that the store is down, never that another one leads, and leads again by itself", async () => {
    const dsn = await server().createDatabase();
    const db = await openPostgres({ dsn, schema: "dag" });
    const busDb = await openPostgres({ dsn, schema: "bus" });
    const bus = await openEmbeddedBus({ db: busDb });
    const clock = systemClock;
    const logger = silentLogger;
    const dag = await createDagManager({ db, bus, clock, logger, config: testConfig });
    const leading = dag.leading!;
    const health = leading.healthOf(dag.services);
    const grpcServer = await openGrpcServer({
      services: dag.services,
      checkTicket: testTickets,
      health,
    });
    await dag.start();
    const connection = connectTo(`http://127.0.0.1:${grpcServer.port}`, { repeatableMethods: [] });
    onTestFinished(async () => {
      connection.close();
      await grpcServer.close();
      await dag.stop();
      await bus.close();
      await busDb.close();
      await db.close();
    });
    const standings: LeadershipStatus[] = [];
    leading.onChange(() => standings.push(leading.standing));
    const leases = [{ computeKey: close, leaseEpoch: 1n }];
    const queues = connection.client(QueueService);
    const graph = { strategyId: "A", graph: demoGraphs.a, contexts: [backtest] };
    const calls: Record<string, () => Promise<unknown>> = {
      renew: () => queues.renewLeases({ ticket: "s1", leases }),
      stats: () => queues.listQueueStats({}),
      publish: () =>
        connection.client(QueueDataService).publish({ ticket: "s1", records: [start(close, 1)] }),
      diff: async () => {
        const diff = connection.client(DiffService).diff({ ...graph, submissionId: "sub" });
        for await (const _ of diff);
      },
    };
    await calls.diff!();
    const keys = [{ computeKey: close, build: "b1" }];
    await queues.acquireLeases({ ticket: "s1", keys });
    await db.query("checkpoint"); // this server does not flush at each commit
    const failures: QmtlError[] = [];
    const askAll = () =>
      Promise.all(
        Object.values(calls).map((call) =>
          call().catch((failure: QmtlError) => failures.push(failure)),
        ),
      );
    let isOver = false;
    const asking = (async () => {
      while (!isOver) await askAll();
    })();

    await server().kill();
    await waitUntil(() => leading.standing === "unsure" && failures.length > 40);
    await server().startAgain();
    await waitUntil(() => leading.isLeading, { timeoutMs: 60_000, what: "it leads again" });
    isOver = true;
    await asking;

    const kinds = failures.map(({ reason, code }) => `${reason} ${Code[code]}`);
    expect([...new Set(kinds)]).toEqual(["STORE_UNAVAILABLE Unavailable"]);
    expect(failures.every(({ retryAfterMs }) => retryAfterMs !== undefined)).toBe(true);
    expect(standings).toEqual(["unsure", "leads"]);
    await calls.diff!();
  }, 120_000);
});
