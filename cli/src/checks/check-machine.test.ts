import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkAddresses } from "./check-addresses.ts";
import { checkDataFolders } from "./check-data-folder.ts";
import { checkNode } from "./check-node.ts";
import { checkPorts } from "./check-ports.ts";
import { checkProtobuf, checkVersions } from "./check-versions.ts";
import type { InstalledPackage } from "./installed-package.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-machine-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const configOf = (env: Record<string, string>): QmtlConfig => loadConfig({ cwd: folder, env });

test("a Node that lacks what the platform uses is broken, with what to do", () => {
  expect(checkNode("24.21.0", "/bin/node")).toEqual({
    name: "node",
    status: "ok",
    detail: "24.21.0 at /bin/node",
  });
  expect(checkNode("22.18.0")).toMatchObject({
    status: "error",
    fix: expect.stringContaining("Node 24"),
  });
});

describe("versions", () => {
  const repository = fileURLToPath(new URL("../../../", import.meta.url));

  test("fit together where the command and the strategies share one SDK", () => {
    expect(checkVersions(repository)).toMatchObject({ status: "ok" });
  });

  test("are broken when a part is of another version", () => {
    expect(checkVersions(repository, "0.2.0")).toMatchObject({
      status: "error",
      detail: expect.stringContaining("@qmtl/sdk 0.1.0"),
    });
  });

  test("are broken when strategies here would import another copy of the SDK", () => {
    const other = join(folder, "other/node_modules/@qmtl/sdk");
    mkdirSync(other, { recursive: true });

    expect(checkVersions(join(folder, "other"), "0.1.0")).toMatchObject({
      status: "error",
      detail: expect.stringMatching(/^two copies of @qmtl\/sdk: /),
      fix: expect.stringContaining("npm dedupe"),
    });
    expect(checkVersions(join(folder, "other")).detail).toContain(other);
  });

  test("are broken with two copies of the protobuf runtime, or with one that was not asked for", () => {
    const made = (name: string, runtime: string | undefined): InstalledPackage => {
      const own = join(folder, "protobuf", name);
      mkdirSync(own, { recursive: true });
      const dependencies = { "@bufbuild/protobuf": "2.17.0" };
      writeFileSync(join(own, "package.json"), JSON.stringify({ name, dependencies }));
      if (runtime !== undefined) {
        const copy = join(own, "node_modules/@bufbuild/protobuf");
        mkdirSync(copy, { recursive: true });
        writeFileSync(join(copy, "package.json"), JSON.stringify({ version: runtime }));
      }
      return { name, folder: own, version: "0.1.0" };
    };
    const [right, wrong] = [made("a", "2.17.0"), made("b", "2.13.0")];

    expect(checkProtobuf([right])).toMatchObject({ status: "ok" });
    expect(checkProtobuf([right, wrong])).toMatchObject({
      status: "error",
      detail: expect.stringMatching(/^2 copies of @bufbuild\/protobuf: .*2\.17\.0.*2\.13\.0/),
      fix: expect.stringContaining("npm dedupe"),
    });
    expect(checkProtobuf([wrong])).toMatchObject({
      status: "error",
      detail: expect.stringContaining("2.17.0 is needed"),
    });
  });

  test("are reported where no strategy could import the SDK, and are fine where a link leads to it", () => {
    const linked = join(folder, "linked");
    mkdirSync(linked);
    symlinkSync(join(repository, "node_modules"), join(linked, "node_modules"), "junction");

    expect(checkVersions(folder).status).toBe("warning");
    expect(checkVersions(linked).status).toBe("ok");
  });
});

describe("ports", () => {
  let config: QmtlConfig;
  let web: number;
  const server = createServer();
  beforeAll(async () => {
    const [gateway, taken = 0, dag, world] = await freePorts(4);
    web = taken;
    config = configOf({
      QMTL__GATEWAY: `{port: ${gateway}, web_port: ${web}}`,
      QMTL__DAG_MANAGER__PORT: String(dag),
      QMTL__WORLD_SERVICE__PORT: String(world),
    });
    await new Promise<void>((resolve) => server.listen(web, "127.0.0.1", resolve));
  });
  afterAll(() => server.close());

  test("that somebody else listens on are broken, and the key to change is named", async () => {
    const checks = await checkPorts(config, false);

    expect(checks.map(({ status }) => status)).toEqual(["ok", "error", "ok", "ok"]);
    expect(checks[1]).toMatchObject({
      name: `port ${web}`,
      detail: expect.stringMatching(/^gateway\.web_port cannot be opened: .*EADDRINUSE/),
      fix: expect.stringContaining("change gateway.web_port"),
    });
  });

  test("that the running platform listens on are as they should be", async () => {
    const checks = await checkPorts(config, true);

    expect(checks.map(({ status }) => status)).toEqual(["ok", "ok", "ok", "ok"]);
  });
});

describe("the data folder", () => {
  const data = join(folder, "data");
  const config = configOf({ QMTL__STORAGE__DATA_DIR: data });

  test("holds when it can be made and has room", () => {
    expect(checkDataFolders(config, false)).toMatchObject([
      { name: "data folder", detail: expect.stringContaining("created at the first start") },
    ]);
  });

  test("is broken while a living process holds it that does not answer", () => {
    mkdirSync(join(data, "pgdata"), { recursive: true });
    writeFileSync(join(data, "lock"), JSON.stringify({ pid: process.pid }));

    expect(checkDataFolders(config, false)).toMatchObject([
      { status: "error", detail: expect.stringContaining(`locked by process ${process.pid}`) },
    ]);
    expect(checkDataFolders(config, true)).toMatchObject([{ status: "ok" }]);
  });

  test("of a dead process is nobody's", () => {
    writeFileSync(join(data, "lock"), JSON.stringify({ pid: 2 ** 30 }));

    expect(checkDataFolders(config, false)).toMatchObject([{ status: "ok" }]);
  });

  test("of services in processes of their own are looked at, and not one that nobody uses", () => {
    const split = join(folder, "split");
    mkdirSync(join(`${split}-gateway`, "pgdata"), { recursive: true });
    mkdirSync(join(`${split}-world-service`, "pgdata"), { recursive: true });
    for (const service of ["gateway", "world-service"])
      writeFileSync(join(`${split}-${service}`, "lock"), JSON.stringify({ pid: process.pid }));
    const checks = checkDataFolders(configOf({ QMTL__STORAGE__DATA_DIR: split }), false);

    expect(checks).toMatchObject([
      { name: "data folder of gateway", status: "error" },
      {
        name: "data folder of world-service",
        status: "ok",
        detail: expect.stringContaining(`${split}-world-service: `),
      },
    ]);
  });

  test("below a file is broken", () => {
    writeFileSync(join(folder, "file"), "");
    const below = configOf({ QMTL__STORAGE__DATA_DIR: join(folder, "file", "data") });

    expect(checkDataFolders(below, false)).toMatchObject([
      { status: "error", fix: expect.stringContaining("storage.data_dir") },
    ]);
  });
});

test("commands that call another port of this machine than the gateway's are reported", () => {
  const at = (url: string) =>
    checkAddresses(configOf({ QMTL__GATEWAY__PORT: "7500", QMTL__SDK__GATEWAY_URL: url }));

  expect(at("http://127.0.0.1:7500")).toEqual([]);
  expect(at("http://elsewhere.example:7400")).toEqual([]);
  expect(at("http://localhost:7400")).toMatchObject([
    { status: "warning", fix: "set sdk.gateway_url to http://localhost:7500" },
  ]);
});
