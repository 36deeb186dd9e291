import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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
  test("reports file, line, column, key and the nearest name, and ends with 2", async () => {
    const plain = await config("gateway:\n  prot: 7400\n", "validate", "--offline");
    const json = await config("gateway:\n  prot: 7400\n", "validate", "--offline", "--json");

    expect(plain).toMatchObject({ exitCode: 2, out: [] });
    expect(plain.err[0]).toContain(`${file}:2:3: gateway.prot: unknown key`);
    expect(plain.err[0]).toContain('(did you mean "port"?)');
    const issue = { path: "gateway.prot", line: 2, column: 3, suggestion: "port" };
    expect(JSON.parse(json.err[0]!)).toMatchObject({ reason: "CONFIG_INVALID", issues: [issue] });
  });

  test("reports everything that is wrong at once", async () => {
    const { err } = await config(
      "gateway: {port: 0}\nstorage: {kind: mysql}\n",
      "validate",
      "--offline",
    );

    expect(err.join("\n")).toMatch(/qmtl\.yml:1:17: gateway\.port: /);
    expect(err.join("\n")).toMatch(/qmtl\.yml:2:17: storage\.kind: /);
  });

  test("offline calls nothing, and warns of files and secrets that are not here", async () => {
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

describe("qmtl config validate --target", () => {
  test("schema looks at the file alone, one service at that service", async () => {
    const [gateway, web, dag, world] = await freePorts(4);
    const text = `gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
sources: {day: {file: none.csv}}
`;
    const names = async (target: string): Promise<unknown> => {
      const { exitCode, out } = await config(text, "validate", "--target", target, "--json");
      const { checks } = JSON.parse(out[0]!) as { checks: { name: string; status: string }[] };
      const seen = checks.filter(({ status }) => status !== "warning").map(({ name }) => name);
      return { exitCode, seen };
    };

    expect(await names("schema")).toEqual({ exitCode: 0, seen: ["configuration"] });
    expect(await names("gateway")).toEqual({ exitCode: 3, seen: ["configuration", "gateway"] });
    expect(await names("dagmanager")).toEqual({
      exitCode: 3,
      seen: ["configuration", "dag-manager"],
    });
    expect((await config("{}", "validate", "--target", "gatway")).exitCode).toBe(2);
  });

  test("an old key is warned of, with its place and the new one", async () => {
    const { exitCode, out } = await config(
      "sdk:\n  trade_mode: paper\n",
      "validate",
      "--offline",
      "--json",
    );

    expect(exitCode).toBe(0);
    expect(JSON.parse(out[0]!).checks).toContainEqual({
      name: "sdk.trade_mode",
      status: "warning",
      detail: `${file}:2:3: an old name, read as sdk.execution_domain: dryrun`,
      fix: "write execution_domain: dryrun and leave trade_mode out",
    });
  });
});

describe("a configuration that cannot be used", () => {
  const cases: readonly (readonly [string, string | undefined, string, RegExp])[] = [
    ["empty", "", "CONFIG_EMPTY", /qmtl\.yml: the file is empty; write \{\}/],
    ["comments alone", "# nothing\n", "CONFIG_EMPTY", /the file is empty/],
    ["not YAML", "gateway:\n  port: [1\n", "CONFIG_NOT_YAML", /qmtl\.yml:3:1: /],
    ["a key twice", "gateway:\n  port: 1\n  port: 2\n", "CONFIG_NOT_YAML", /:3:3: .*unique/],
    ["text", "just text\n", "CONFIG_NOT_YAML", /expected a YAML mapping/],
    [
      "a wrong type at depth",
      "accounts:\n  a:\n    limits: 5\n",
      "CONFIG_INVALID",
      /:3:13: accounts\.a\.limits: /,
    ],
    [
      "an unknown key at depth",
      "accounts:\n  a:\n    limits:\n      max_oder_notional: 5\n",
      "CONFIG_INVALID",
      /:4:7: .*did you mean "max_order_notional"/,
    ],
  ];
  test.each(cases)(
    "%s ends every command with 2, its reason and its place",
    async (_, text, reason, told) => {
      for (const command of [
        ["config", "validate", "--offline"],
        ["world", "list"],
      ]) {
        writeFileSync(file, text ?? "");
        const { exitCode, out, err } = await runInProcess("--config", file, ...command, "--json");
        expect({ command, exitCode, out }).toEqual({ command, exitCode: 2, out: [] });
        expect(JSON.parse(err[0]!)).toMatchObject({ reason, error: expect.stringMatching(told) });
      }
    },
  );

  test("a folder, a link to nothing, a path below a file, and none", async () => {
    writeFileSync(file, "{}");
    const link = join(folder, "link.yml");
    symlinkSync(join(folder, "nowhere"), link);
    const reasonOf = async (path: string): Promise<unknown> => {
      const { exitCode, err } = await runInProcess(
        "--config",
        path,
        "config",
        "validate",
        "--json",
      );
      return [exitCode, (JSON.parse(err[0]!) as { reason: string }).reason];
    };

    expect(await reasonOf(folder)).toEqual([2, "CONFIG_UNREADABLE"]);
    expect(await reasonOf(link)).toEqual([2, "CONFIG_UNREADABLE"]);
    expect(await reasonOf(join(file, "below.yml"))).toEqual([2, "CONFIG_UNREADABLE"]);
    expect(await reasonOf(join(folder, "none.yml"))).toEqual([2, "CONFIG_NOT_FOUND"]);
  });

  test("the environment is named when it is at fault", async () => {
    vi.stubEnv("QMTL__GATEWAY__PROT", "1");
    const unknown = await config("{}", "validate", "--offline");
    vi.unstubAllEnvs();
    vi.stubEnv("QMTL__GATEWAY__PORT", "high");
    const wrong = await config("{}", "validate", "--offline");

    expect(unknown.exitCode).toBe(2);
    expect(unknown.err[0]).toMatch(/QMTL__GATEWAY__PROT.*did you mean "port"/);
    expect(wrong.exitCode).toBe(2);
    expect(wrong.err[0]).toContain("(set by QMTL__GATEWAY__PORT)");
  });
});

describe("qmtl config generate and schema", () => {
  test.each(["minimal", "maximal"])(
    "prints a file of the %s profile that validates",
    async (profile) => {
      const generated = await config("{}", "generate", "--profile", profile);
      const { exitCode } = await config(generated.out.join("\n"), "validate", "--offline");

      expect(generated.exitCode).toBe(0);
      expect(generated.out).toContain("  port: 7400");
      expect(exitCode).toBe(0);
    },
  );

  test("writes a file once, again only when forced, and names the schema beside it", async () => {
    const made = mkdtempSync(join(folder, "made-"));
    const yml = join(made, "qmtl.yml");
    const schema = join(made, "qmtl.schema.json");
    const generate = (...args: string[]) => config("{}", "generate", "--output", yml, ...args);

    expect((await generate()).out).toEqual([`${yml} written`]);
    expect(readFileSync(yml, "utf8")).toMatch(/^# QMTL configuration/);
    const again = await generate();
    expect(again.exitCode).toBe(2);
    expect(again.err.join()).toContain("--force replaces it");

    await config("{}", "schema", "--output", schema);
    expect(JSON.parse(readFileSync(schema, "utf8"))).toMatchObject({ type: "object" });
    expect((await generate("--force", "--json")).out).toEqual([JSON.stringify({ file: yml })]);
    expect(readFileSync(yml, "utf8").split("\n")[0]).toBe(
      "# yaml-language-server: $schema=./qmtl.schema.json",
    );
    expect(readdirSync(made).sort()).toEqual(["qmtl.schema.json", "qmtl.yml"]);
    expect((await runInProcess("--config", yml, "config", "validate", "--offline")).exitCode).toBe(
      0,
    );
  });

  test("refuses a missing folder, and a folder in place of a file", async () => {
    const below = await config("{}", "generate", "--output", join(folder, "no", "qmtl.yml"));
    const onto = await config("{}", "generate", "--output", folder, "--force");

    expect([below.exitCode, onto.exitCode]).toEqual([2, 2]);
    expect(below.err.join()).toContain("make the folder first");
  });

  test("prints the JSON schema for editors", async () => {
    const { out } = await config("{}", "schema");

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
      description: "Port of the gRPC server.",
      type: "integer",
      range: "1 to 65535",
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

  test("of test mode lists the waits it shortens", async () => {
    const plain = await config("{}", "explain", "test.test_mode");
    const explainedWait = await explained("test: {test_mode: true}", "sdk.request_timeout_ms");

    expect(plain.out.join("\n")).toContain("sdk.request_timeout_ms is 1500 unless set itself");
    expect(explainedWait).toMatchObject({ default: 2000, value: 1500, origin: "test.test_mode" });
  });

  test("without a key shows every value, those of named entries by their names", async () => {
    const { out } = await config("sources:\n  day: {file: a.csv, speed: 5}\n", "explain");
    const text = out.join("\n");

    expect(text).toMatch(/^sources\.day\.speed +5 +\S+qmtl\.yml:2:22$/m);
    expect(text).toMatch(/^dag_manager\.port +7410 +default$/m);
    expect(text).not.toContain("*");
  });

  test("of an unknown key ends with 2 and names the nearest", async () => {
    const { exitCode, err } = await config("{}", "explain", "gateway.prot");

    expect(exitCode).toBe(2);
    expect(err[0]).toContain('did you mean "gateway.port"?');
  });
});
