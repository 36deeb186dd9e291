import { afterAll, describe } from "vitest";
import { openPostgres } from "../db/postgres-db.ts";
import { describePostgres } from "../testing/describe-servers.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { busPlaces, outboxContract } from "./outbox.contract.ts";

describe.each(busPlaces)("Outbox on PGlite, bus %s", (place) => {
  let host: ReturnType<typeof openTestPglite> | undefined;
  outboxContract(async (schema) => {
    host ??= openTestPglite();
    return (await host).db(schema);
  }, place);
  afterAll(async () => {
    await (await host)?.close();
  });
});

describePostgres("Outbox", (server) => {
  describe.each(busPlaces)("bus %s", (place) => {
    let dsn: Promise<string> | undefined;
    outboxContract(async (schema) => {
      dsn ??= server().createDatabase();
      return openPostgres({ dsn: await dsn, schema });
    }, place);
  });
});
