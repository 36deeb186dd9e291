import { createServer } from "node:net";
import { loadConfig } from "@qmtl/sdk/config";
import { describePostgres, freePorts } from "@qmtl/service-kit/testing";
import { describe, expect, test, vi } from "vitest";
import { checkBrokers, checkDatabase, isListening } from "./check-storage.ts";

const now = () => Date.now();
const postgres = loadConfig({
  env: { QMTL__STORAGE: "{kind: postgres, dsn: {env: QMTL_TEST_DSN}}" },
});

/** The answer with this connection string in the environment. */
async function checkAt(dsn: string) {
  vi.stubEnv("QMTL_TEST_DSN", dsn);
  try {
    return await checkDatabase(postgres, now);
  } finally {
    vi.unstubAllEnvs();
  }
}

describe("the database", () => {
  test("of the embedded shape needs no server", async () => {
    const { check, reading } = await checkDatabase(loadConfig({ env: {} }), now);

    expect(check).toMatchObject({ status: "ok", detail: expect.stringContaining("embedded") });
    expect(reading).toBeUndefined();
  });

  test("that nobody serves is broken, and the dsn stays secret", async () => {
    const [port] = await freePorts(1);

    const { check } = await checkAt(`postgres://user:hush@127.0.0.1:${port}/db`);

    expect(check).toMatchObject({ status: "error", fix: expect.stringContaining("storage.dsn") });
    expect(JSON.stringify(check)).not.toContain("hush");
  });

  test("whose dsn is not there is broken, and the variable is named", async () => {
    const { check } = await checkAt("");

    expect(check.detail).toContain("QMTL_TEST_DSN");
  });
});

describePostgres("qmtl doctor", (server) => {
  test("logs in, and reads version and clock", async () => {
    const { check, reading } = await checkAt(await server().createDatabase());

    expect(check).toMatchObject({
      status: "ok",
      detail: expect.stringMatching(/^PostgreSQL \d+ answers$/),
    });
    expect(Math.abs(reading!.theirMs - reading!.ourMs)).toBeLessThan(5_000);
  });
});

describe("the broker", () => {
  const kafka = (...brokers: readonly string[]) =>
    loadConfig({ env: { QMTL__BUS: `{kind: kafka, brokers: [${brokers.join(", ")}]}` } });

  test("is not needed in the embedded shape", async () => {
    expect(await checkBrokers(loadConfig({ env: {} }))).toMatchObject({ status: "ok" });
  });

  test("that nobody serves is broken, and named", async () => {
    const [port] = await freePorts(1);

    expect(await checkBrokers(kafka(`127.0.0.1:${port}`))).toMatchObject({
      status: "error",
      detail: `127.0.0.1:${port} cannot be reached`,
    });
  });

  test("is listening when something takes the connection", async () => {
    const server = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;

    expect(await isListening(`127.0.0.1:${port}`)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
    expect(await isListening(`127.0.0.1:${port}`)).toBe(false);
  });
});
