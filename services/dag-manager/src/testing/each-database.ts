import { openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { type TestDatabases, wipe } from "./open-dag.ts";

/** Runs a suite on PGlite and on a private PostgreSQL, each test on empty schemas. */
export function describeEachDatabase(
  name: string,
  suite: (databases: () => TestDatabases) => void,
): void {
  describe(`${name} (PGlite)`, () => {
    withDatabases(async () => {
      const host = await openTestPglite();
      return { dag: host.db("dag"), bus: host.db("bus"), close: () => host.close() };
    }, suite);
  });
  describePostgres(name, (server) => {
    withDatabases(async () => {
      const dsn = await server().createDatabase();
      const dag = await openPostgres({ dsn, schema: "dag", connectionsMax: 6 });
      const bus = await openPostgres({ dsn, schema: "bus", connectionsMax: 4 });
      return {
        dag,
        bus,
        close: async () => {
          await dag.close();
          await bus.close();
        },
      };
    }, suite);
  });
}

function withDatabases(
  open: () => Promise<TestDatabases & { close(): Promise<void> }>,
  suite: (databases: () => TestDatabases) => void,
): void {
  let databases: (TestDatabases & { close(): Promise<void> }) | undefined;
  beforeAll(async () => {
    databases = await open();
  }, 60_000);
  beforeEach(async () => {
    await wipe(databases!);
  });
  afterAll(async () => {
    await databases?.close();
  });
  suite(() => databases!);
}
