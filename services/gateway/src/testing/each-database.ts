import { type Db, openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe } from "vitest";

/** One database of a suite, and a second connection to it where there can be one. */
interface TestDatabase {
  readonly db: Db;
  /** As another process sees it; the same one on PGlite, whose folder has one process. */
  readonly other: Db;
}

/** Runs a suite on PGlite and on a PostgreSQL, in schema `gateway`. */
export function describeEachDatabase(name: string, suite: (at: () => TestDatabase) => void): void {
  describe(`${name} (PGlite)`, () => {
    withDatabase(async () => {
      const host = await openTestPglite();
      const db = host.db("gateway");
      return { db, other: db, close: () => host.close() };
    }, suite);
  });
  describePostgres(name, (server) => {
    withDatabase(async () => {
      const dsn = await server().createDatabase();
      const [db, other] = [await open(dsn), await open(dsn)];
      return {
        db,
        other,
        close: async () => void (await Promise.all([db.close(), other.close()])),
      };
    }, suite);
  });
}

const open = (dsn: string): Promise<Db> =>
  openPostgres({ dsn, schema: "gateway", connectionsMax: 3 });

function withDatabase(
  make: () => Promise<TestDatabase & { close(): Promise<void> }>,
  suite: (at: () => TestDatabase) => void,
): void {
  let opened: (TestDatabase & { close(): Promise<void> }) | undefined;
  beforeAll(async () => {
    opened = await make();
  }, 60_000);
  afterAll(() => opened?.close());
  suite(() => opened!);
}
