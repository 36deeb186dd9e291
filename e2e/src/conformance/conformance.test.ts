import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { goEnvironment, goTool } from "../../../examples/smoke/go-tool.ts";
import { grpcurlTool } from "../../../examples/smoke/grpcurl-tool.ts";
import { pythonTool } from "../../../examples/smoke/python-venv.ts";
import { describeWithTool } from "../../../examples/smoke/suite-of-tool.ts";
import { type Stack, startStack } from "../harness/start-stack.ts";
import { typescriptClient, webClient } from "./in-process-clients.ts";
import type { ConformanceClient, Platform } from "./outcome.ts";
import { bufCurlClient, grpcurlClient, lineClient } from "./process-clients.ts";
import { type Names, readSteps, takeStep } from "./steps.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const here = import.meta.dirname;
const root = fileURLToPath(new URL("../../..", import.meta.url));
const keys = {
  operator: "an-operator-of-conformance",
  viewer: "a-viewer-of-conformance",
  nobody: "",
};
const config = `
security:
  keys:
    ops: {principal: alice, role: operator, secret: {env: CONFORMANCE_OPERATOR}}
    eyes: {principal: bob, role: viewer, secret: {env: CONFORMANCE_VIEWER}}
sources:
  sp500: {file: ${join(root, "examples/data/sp500.csv")}, interval: 1d, start: 2015-01-02, until: start}
instruments: {SPX: {tick: "0.01", lot: "0.1", mark_source: sp500}}
accounts: {main: {broker: paper, initial_cash: "1000000", instruments: [SPX]}}
`;
const steps = readSteps();

let stack: Stack;
let platform: Platform;
beforeAll(async () => {
  const env = { CONFORMANCE_OPERATOR: keys.operator, CONFORMANCE_VIEWER: keys.viewer };
  stack = await startStack({ config, env });
  const [, webPort] = /web_port: (\d+)/.exec(await readFile(stack.configFile, "utf8")) ?? [];
  const webUrl = `http://127.0.0.1:${webPort}`;
  platform = { gatewayUrl: stack.gatewayUrl, webUrl, reflectionKey: keys.viewer };
});
afterAll(() => stack?.[Symbol.asyncDispose]());

/** Takes every step, in order, with one client. */
function conformance(name: string, open: () => Promise<ConformanceClient>): void {
  let client: ConformanceClient;
  const names: Names = new Map([
    ["world", name],
    ["other", `${name}-other`],
    ["run", `conformance-${name}`],
  ]);
  beforeAll(async () => {
    client = await open();
  });
  afterAll(() => client?.[Symbol.asyncDispose]());

  test.each(steps.map((step) => [step.name, step] as const))("%s", async (_, step) => {
    expect(await takeStep(client, step, names, keys)).toEqual([]);
  });
}

describe("conformance of the SDK's connection, in TypeScript", () => {
  conformance("typescript", async () => typescriptClient(platform));
});

describe("conformance of JSON over HTTP, as a page sends it", () => {
  conformance("web", async () => webClient(platform));

  test("sends what other clients refuse to send: unknown fields and enum names", async () => {
    const client = webClient(platform);
    const names: Names = new Map([["world", "web"]]);
    const raw = steps.filter(({ isRaw }) => isRaw === true);
    for (const step of raw) {
      expect(await takeStep(client, { ...step, isRaw: false }, names, keys)).toEqual([]);
    }
    expect(raw.length).toBeGreaterThan(1);
  });
});

describe("conformance of buf curl", () => {
  const buf = join(root, "node_modules/.bin/buf");
  conformance("buf", async () => bufCurlClient(buf, platform));
});

describeWithTool("conformance of grpcurl", grpcurlTool(), (grpcurl) => {
  conformance("grpcurl", async () => grpcurlClient(grpcurl, platform));
});

describeWithTool("conformance of grpcio, in Python", pythonTool(), (python) => {
  const PYTHONPATH = join(root, "gen/python/src");
  conformance("python", async () => {
    const { host } = new URL(platform.gatewayUrl);
    const command = [python, join(here, "conformance_client.py"), host];
    return lineClient(command, { PYTHONPATH, PYTHONDONTWRITEBYTECODE: "1" });
  });
});

describeWithTool("conformance of grpc-go", goTool(), (go) => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "qmtl-conformance-"));
    const env = { ...process.env, ...goEnvironment() };
    await promisify(execFile)(go, ["build", "-o", folder, "."], { cwd: join(here, "go"), env });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  conformance("go", async () => {
    const { host } = new URL(platform.gatewayUrl);
    return lineClient([join(folder, "conformance"), host], {});
  });
});
