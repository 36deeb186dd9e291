import { afterAll, beforeAll, describe, it } from "vitest";
import { hasKafkaJars } from "./kafka-jars.ts";
import { type PrivateKafka, startPrivateKafka } from "./private-kafka.ts";
import {
  findPostgresBinaries,
  openTestPostgres,
  type PrivatePostgres,
  type SharedPostgres,
  startPrivatePostgres,
} from "./private-postgres.ts";

/** A cluster in which tests create databases. */
export type TestPostgres = SharedPostgres;

/** More than a server's own time to start. */
const START_MS_MAX = 180_000;
const HINT = "run npm run services:setup";

/** A suite against a real PostgreSQL, its own unless the run shares one; `server()` may be called once tests run. */
export function describePostgres(name: string, fn: (server: () => TestPostgres) => void): void {
  describeServer(`${name} (PostgreSQL)`, {
    isThere: findPostgresBinaries() !== undefined,
    start: openTestPostgres,
    fn,
  });
}

/** As `describePostgres`, with a server of its own that the tests may kill. */
export function describeOwnPostgres(
  name: string,
  fn: (server: () => PrivatePostgres) => void,
): void {
  describeServer(`${name} (PostgreSQL of its own)`, {
    isThere: findPostgresBinaries() !== undefined,
    start: startPrivatePostgres,
    fn,
  });
}

/** A suite against a real Kafka broker of its own; `server()` may be called once tests run. */
export function describeKafka(name: string, fn: (server: () => PrivateKafka) => void): void {
  describeServer(`${name} (Kafka)`, { isThere: hasKafkaJars(), start: startPrivateKafka, fn });
}

/** Where the server is not installed, the suite is one skipped test that says so, and with CI=true one that fails. */
function describeServer<Server extends { stop(): Promise<void> }>(
  name: string,
  {
    isThere,
    start,
    fn,
  }: {
    isThere: boolean;
    start: () => Promise<Server>;
    fn: (server: () => Server) => void;
  },
): void {
  describe(name, () => {
    if (!isThere) {
      const message = `${name} needs a server that is not installed: ${HINT}`;
      if (process.env.CI === "true") {
        it(message, () => {
          throw new Error(message);
        });
      } else {
        it.skip(`SKIPPED: ${message}`, () => {});
      }
      return;
    }
    let server: Server | undefined;
    beforeAll(async () => {
      server = await start();
    }, START_MS_MAX);
    afterAll(async () => {
      await server?.stop();
    });
    fn(() => {
      if (server === undefined) throw new Error("the server is there once tests run");
      return server;
    });
  });
}
