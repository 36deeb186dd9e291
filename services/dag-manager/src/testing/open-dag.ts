import { fromBinary } from "@bufbuild/protobuf";
import {
  type ControlEvent,
  ControlEventSchema,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { connectTo } from "@qmtl/sdk/rpc";
import { type Clock, openGrpcServer, silentLogger, systemClock } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import type { Db } from "@qmtl/service-kit/db";
import { asGateway, ownerOrGateway } from "@qmtl/service-kit/testing";
import { createDagManager, type DagManagerConfig } from "../index.ts";
import { testTickets } from "./test-tickets.ts";

/** The two databases a running service needs, for itself and for its bus. */
export interface TestDatabases {
  readonly dag: Db;
  readonly bus: Db;
}

export const testConfig: DagManagerConfig = {
  sources: {
    feed: { adapter: "csv-replay", start: "2015-01-02", until: null },
    held: { adapter: "csv-replay", start: "2015-01-02", until: "start" },
  },
  dag_manager: { node_lease_ms: 10_000, node_renew_ms: 3_000, node_margin_ms: 1_000 },
};

/**
 * The leader's row expires by the database's clock: not before a slow test is over, whatever the test's own clock says.
 */
const leaderTimes = { leaderMs: 600_000, renewMs: 500 };

/** A running DAG Manager behind a real server, over given databases; closing it leaves them open. */
export async function openDag(
  databases: TestDatabases,
  options: { readonly clock?: Clock; readonly config?: DagManagerConfig } = {},
) {
  const { clock = systemClock, config = testConfig } = options;
  const bus = await openEmbeddedBus({ db: databases.bus });
  const dag = await createDagManager({
    db: databases.dag,
    bus,
    clock,
    logger: silentLogger,
    config,
    leaderTimes,
  });
  await dag.start();
  const server = await openGrpcServer({
    services: dag.services,
    principalOf: ownerOrGateway,
    checkTicket: testTickets,
  });
  const url = `http://127.0.0.1:${server.port}`;
  const connection = connectTo(url, { timeoutMs: 60_000 });
  const gateway = connectTo(url, { timeoutMs: 60_000, headers: () => asGateway });
  const close = async (): Promise<void> => {
    await dag.stop();
    connection.close();
    gateway.close();
    await server.close();
    await bus.close();
  };
  return {
    diff: connection.client(DiffService),
    queues: connection.client(QueueService),
    /** For the calls that only a gateway makes. */
    gatewayQueues: gateway.client(QueueService),
    data: connection.client(QueueDataService),
    services: dag.services,
    /** Control events committed so far, in order. */
    events: () => controlEvents(databases.dag),
    close,
    [Symbol.asyncDispose]: close,
  };
}

export type TestDag = Awaited<ReturnType<typeof openDag>>;

/** Deletes everything that was stored; the tables stay. */
export async function wipe(databases: TestDatabases): Promise<void> {
  const tables = await databases.dag.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname in ('dag', 'bus') and tablename <> 'migration'`,
  );
  // Deleting from small tables is many times faster than truncating them. In role replica no foreign key is checked.
  await databases.dag.transaction((tx) =>
    tx.script(
      `set local session_replication_role = replica;
       ${tables.map(({ name }) => `delete from ${name};`).join("\n")}`,
    ),
  );
}

async function controlEvents(db: Db): Promise<ControlEvent[]> {
  const rows = await db.query<{ payload: Uint8Array }>(
    "select payload from dag.outbox order by id",
  );
  return rows.map((row) => fromBinary(ControlEventSchema, row.payload));
}
