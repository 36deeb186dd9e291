import { afterAll, describe } from "vitest";
import { openPostgres } from "../db/postgres-db.ts";
import { describePostgres } from "../testing/describe-servers.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { outboxContract } from "./outbox.contract.ts";

describe("Outbox on PGlite", () => {
  let host: ReturnType<typeof openTestPglite> | undefined;
  outboxContract(async (schema) => {
    host ??= openTestPglite();
    return (await host).db(schema);
  });
  afterAll(async () => {
    await (await host)?.close();
  });
});

describePostgres("Outbox", (server) => {
  let dsn: Promise<string> | undefined;
  outboxContract(async (schema) => {
    dsn ??= server().createDatabase();
    return openPostgres({ dsn: await dsn, schema });
  });
});
