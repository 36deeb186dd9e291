import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-config-command-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const file = join(folder, "qmtl.yml");

/** Runs `qmtl config …` on a file with this text. */
function config(text: string, ...args: readonly string[]) {
  writeFileSync(file, text);
  return runInProcess("--config", file, "config", ...args);
}

describe("qmtl config validate", () => {
  test("tells file, line, column, key and the nearest name, and ends with 2", async () => {
    const plain = await config("gateway:\n  prot: 7400\n", "validate", "--offline");
    const json = await config("gateway:\n  prot: 7400\n", "validate", "--offline", "--json");

    expect(plain).toMatchObject({ exitCode: 2, out: [] });
    expect(plain.err[0]).toContain(`${file}:2:3: gateway.prot: unknown key`);
    expect(plain.err[0]).toContain('(did you mean "port"?)');
    const issue = { path: "gateway.prot", line: 2, column: 3, suggestion: "port" };
    expect(JSON.parse(json.err[0]!)).toMatchObject({ reason: "CONFIG_INVALID", issues: [issue] });
  });

  test("tells everything that is wrong at once", async () => {
    const { err } = await config(
      "gateway: {port: 0}\nstorage: {kind: mysql}\n",
      "validate",
      "--offline",
    );

    expect(err.join("\n")).toMatch(/qmtl\.yml:1:17: gateway\.port: /);
    expect(err.join("\n")).toMatch(/qmtl\.yml:2:17: storage\.kind: /);
  });

  test("offline knocks at nothing, and warns of files and secrets that are not here", async () => {
    const text = `sources:
  day: {file: none.csv}
security:
  keys: {ops: {principal: ops, role: owner, secret: {env: QMTL_NO_SUCH_KEY}}}
`;

    const { exitCode, out } = await config(text, "validate", "--offline", "--json");

    expect(exitCode).toBe(0);
    expect(JSON.parse(out[0]!)).toMatchObject({
      healthy: true,
      checks: [
        { name: "configuration", status: "ok" },
        {
          name: "sources.day.file",
          status: "warning",
          detail: expect.stringContaining(`${file}:2:9`),
        },
        {
          name: "security.keys.ops.secret",
          status: "warning",
          detail: expect.stringContaining("QMTL_NO_SUCH_KEY"),
        },
      ],
    });
  });

  test("ends with 3 when a configured service does not answer, and says what to do", async () => {
    const [gateway, web, dag, world] = await freePorts(4);
    const text = `gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
sdk: {gateway_url: "http://127.0.0.1:${gateway}"}
`;

    const { exitCode, out } = await config(text, "validate");

    expect(exitCode).toBe(3);
    for (const name of ["gateway", "dag-manager", "world-service"]) {
      expect(out.join("\n")).toMatch(new RegExp(`^${name} +error +http://127\\.0\\.0\\.1:`, "m"));
    }
    expect(out.join("\n")).toContain("start the platform (`qmtl up`)");
  });
});

describe("qmtl config generate", () => {
  test("prints a file that validates", async () => {
    const generated = await config("{}", "generate");
    const { exitCode } = await config(generated.out.join("\n"), "validate", "--offline");

    expect(generated.exitCode).toBe(0);
    expect(generated.out).toContain("  port: 7400");
    expect(exitCode).toBe(0);
  });

  test("prints the JSON schema for editors", async () => {
    const { out } = await config("{}", "generate", "--schema");

    expect(JSON.parse(out.join("\n"))).toMatchObject({
      $schema: expect.stringContaining("json-schema.org"),
      properties: { gateway: { properties: { port: { default: 7400 } } } },
    });
  });
});

describe("qmtl config explain", () => {
  const explained = async (text: string, key: string) =>
    JSON.parse((await config(text, "explain", key, "--json")).out[0]!);

  test("says meaning, type, default and variable, and where the value comes from", async () => {
    const common = {
      key: "gateway.port",
      description: "Port of the gRPC door.",
      type: "integer",
      default: 7400,
      variable: "QMTL__GATEWAY__PORT",
    };

    expect(await explained("{}", "gateway.port")).toEqual({
      ...common,
      value: 7400,
      origin: "default",
    });
    expect(await explained("gateway:\n  port: 7500", "gateway.port")).toEqual({
      ...common,
      value: 7500,
      origin: `${file}:2:3`,
    });
    vi.stubEnv("QMTL__GATEWAY__PORT", "7600");
    expect(await explained("gateway:\n  port: 7500", "gateway.port")).toEqual({
      ...common,
      value: 7600,
      origin: "QMTL__GATEWAY__PORT",
    });
  });

  test("without a key shows every value, those of named entries by their names", async () => {
    const { out } = await config("sources:\n  day: {file: a.csv, speed: 5}\n", "explain");
    const text = out.join("\n");

    expect(text).toMatch(/^sources\.day\.speed +5 +\S+qmtl\.yml:2:22$/m);
    expect(text).toMatch(/^dag_manager\.port +7410 +default$/m);
    expect(text).not.toContain("*");
  });

  test("of a key there is none of ends with 2 and names the nearest", async () => {
    const { exitCode, err } = await config("{}", "explain", "gateway.prot");

    expect(exitCode).toBe(2);
    expect(err[0]).toContain('did you mean "gateway.port"?');
  });
});
