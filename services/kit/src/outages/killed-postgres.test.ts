import { Code } from "@connectrpc/connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { connectTo, type QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { openPostgres } from "../db/open-postgres.ts";
import { openGrpcServer } from "../grpc-server.ts";
import { serve } from "../handlers.ts";
import { createLogger } from "../logger.ts";
import { readHealth } from "../rpc/read-health.ts";
import { describeOwnPostgres } from "../testing/describe-servers.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { OutageLog } from "./outage-log.ts";
import { DATABASE } from "./outage-of.ts";

describeOwnPostgres("a database that is killed under a server", (server) => {
  test("is UNAVAILABLE with a time to wait in every call, one line in the log, and serves again by itself", async () => {
    const lines: { level: string; message: string; failedCalls?: number }[] = [];
    const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
    const outages = new OutageLog(createLogger({ name: "test", destination }));
    const logger = outages.quiet();
    const dsn = await server().createDatabase();
    await using db = await openPostgres({
      dsn,
      schema: "s",
      monitor: outages.monitor(DATABASE),
    });
    const asked = serve(GatewayService, {
      async getSubmission({ submissionId }) {
        // A transaction and a lone statement break in different ways.
        if (submissionId === "tx") await db.transaction((tx) => tx.query("select pg_sleep(0.01)"));
        else await db.query("select pg_sleep(0.01)");
        return { submission: { submissionId } };
      },
    });
    const health = {
      states: () => new Map(outages.states().map(({ name, isUp }) => [`store/${name}`, isUp])),
      onChange: (listener: () => void) => outages.onChange(listener),
    };
    await using grpcServer = await openGrpcServer({ services: [asked], logger, health });
    const connection = connectTo(`http://127.0.0.1:${grpcServer.port}`, { repeatableMethods: [] });
    const client = connection.client(GatewayService);
    const failures: QmtlError[] = [];
    let answers = 0;
    let isStopping = false;
    const keepAsking = async (submissionId: string) => {
      while (!isStopping) {
        await client.getSubmission({ submissionId }).then(
          () => {
            answers += 1;
          },
          (failure: QmtlError) => failures.push(failure),
        );
      }
    };
    const asking = [keepAsking("tx"), keepAsking("one"), keepAsking("tx"), keepAsking("two")];
    await waitUntil(() => answers > 20);

    await server().kill();
    await waitUntil(() => failures.length > 50);
    const whileDown = await readHealth(connection, 2_000);
    await server().startAgain();
    answers = 0;
    await waitUntil(() => answers > 20);
    isStopping = true;
    await Promise.all(asking);
    const after = await readHealth(connection, 2_000);
    connection.close();

    const kinds = failures.map(({ reason, code }) => `${reason} ${Code[code]}`);
    expect([...new Set(kinds)]).toEqual(["STORE_UNAVAILABLE Unavailable"]);
    expect(failures.every(({ retryAfterMs }) => retryAfterMs === 1_000)).toBe(true);
    expect(lines.map(({ message }) => message)).toEqual([
      "the database does not answer; failures are counted until it does",
      "the database answers again",
    ]);
    expect(lines[1]?.failedCalls).toBeGreaterThanOrEqual(failures.length);
    expect([whileDown.get(""), whileDown.get("store/database")]).toEqual([true, false]);
    expect(after.get("store/database")).toBe(true);
  }, 60_000);
});
