import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, describe, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-doctor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Diagnosis {
  readonly healthy: boolean;
  readonly checks: readonly { name: string; status: string; detail: string; fix?: string }[];
}

async function examine(text: string): Promise<{ exitCode: number; diagnosis: Diagnosis }> {
  const file = join(folder, "qmtl.yml");
  writeFileSync(file, text);
  const { exitCode, out } = await runInProcess("--config", file, "--json", "doctor");
  return { exitCode, diagnosis: JSON.parse(out[0]!) };
}

const configAt = ([gateway, web, dag, world]: readonly number[]): string =>
  `gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
sdk: {gateway_url: "http://127.0.0.1:${gateway}"}
`;

describe("qmtl doctor", () => {
  test("finds nothing broken where the platform could be started, and says that it does not run", async () => {
    const { exitCode, diagnosis } = await examine(configAt(await freePorts(4)));

    expect(exitCode).toBe(0);
    expect(diagnosis.healthy).toBe(true);
    const status = new Map(diagnosis.checks.map(({ name, status: found }) => [name, found]));
    expect([...status.keys()].filter((name) => !name.startsWith("port "))).toEqual([
      "node",
      "versions",
      "configuration",
      "platform",
      "data folder",
      "broker",
      "clock",
    ]);
    expect(status.get("platform")).toBe("warning");
    expect(diagnosis.checks.filter(({ name }) => name.startsWith("port "))).toHaveLength(4);
  });

  test("shows the project by its name", async () => {
    const { diagnosis } = await examine(
      `project: {name: momentum}\n${configAt(await freePorts(4))}`,
    );

    const found = diagnosis.checks.find(({ name }) => name === "configuration");
    expect(found?.detail).toBe("of project momentum holds");
  });

  test("ends with 1 when a port is taken, and says what to do", async () => {
    const ports = await freePorts(4);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(ports[2], "127.0.0.1", resolve));

    const { exitCode, diagnosis } = await examine(configAt(ports));
    await new Promise((resolve) => server.close(resolve));

    expect(exitCode).toBe(1);
    const broken = diagnosis.checks.filter(({ status }) => status === "error");
    expect(broken).toMatchObject([
      {
        name: `port ${ports[2]}`,
        fix: "stop the process that listens there, or change dag_manager.port",
      },
    ]);
  });

  test("goes on when the configuration does not hold, and ends with 1", async () => {
    const { exitCode, diagnosis } = await examine("gatewy: {}\nstorage: {kind: none}\n");

    expect(exitCode).toBe(1);
    expect(diagnosis.checks.map(({ name }) => name)).toEqual([
      "node",
      "versions",
      "configuration",
      "clock",
    ]);
    expect(diagnosis.checks[2]).toMatchObject({
      status: "error",
      detail: expect.stringMatching(/qmtl\.yml:\d+:\d+: .*\(and 1 more\)$/),
      fix: expect.stringContaining("qmtl config validate --offline"),
    });
  });
});
