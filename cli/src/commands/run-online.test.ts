import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Platform, startPlatform } from "@qmtl/embedded";
import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../wait-for.ts";
import { runInProcess } from "./testing/run-in-process.ts";

const strategy = `
import { column, PositionTargetNode, Strategy, StreamInput, sma } from "@qmtl/sdk";

export class Crosser extends Strategy {
  setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal: sma(column(bars, "close"), 2), instrument: "X", thresholds })]);
  }
}
`;

function feed(): string {
  const rows = Array.from({ length: 60 }, (_, row) => {
    const close = 100 + ((row * 5) % 7);
    const date = new Date(Date.UTC(2020, 0, 1 + row)).toISOString().slice(0, 10);
    return [date, close, close + 1, close - 1, close].join(",");
  });
  return `date,open,high,low,close\n${rows.join("\n")}\n`;
}

/** What a process has printed and how it ended. */
interface Started {
  readonly process: ChildProcess;
  text: string;
  readonly ended: Promise<number | null>;
}

const running: Started[] = [];

function node(...args: readonly string[]): Started {
  const made = spawn(process.execPath, [...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((resolve) => made.once("close", resolve));
  const started: Started = { process: made, text: "", ended };
  for (const stream of [made.stdout, made.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      started.text += text;
    });
  }
  running.push(started);
  return started;
}

async function told(by: Started, what: RegExp): Promise<void> {
  const found = await waitFor(async () => (what.test(by.text) ? true : undefined), {
    timeoutMs: 60_000,
  });
  if (found === undefined) throw new Error(`waited in vain for ${what}:\n${by.text}`);
}

describe("qmtl run in a world", { timeout: 120_000 }, () => {
  let folder: string;
  let file: string;
  let config: QmtlConfig;
  let platform: Platform | undefined;
  let deadUrl: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "qmtl-run-online-"));
    const [gateway, web, dag, service, dead] = await freePorts(5);
    deadUrl = `http://127.0.0.1:${dead}`;
    writeFileSync(
      join(folder, "qmtl.yml"),
      `sources: {day: {file: feed.csv, interval: 1d, start: 2020-02-20, until: start}}
instruments: {X: {lot: "0.1", mark_source: day}}
accounts: {main: {instruments: [X]}}
gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${service}}
storage: {kind: embedded, data_dir: data}
telemetry: {log_level: silent}
`,
    );
    file = join(folder, "strategy.ts");
    writeFileSync(file, strategy);
    writeFileSync(join(folder, "feed.csv"), feed());
    const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
    symlinkSync(modules, join(folder, "node_modules"), "junction");
    config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
    platform = await startPlatform(config);
    const world = ["world", "create", "w", "--clock", "replay", "--source", "day"];
    const made = await runInProcess(
      "--config",
      join(folder, "qmtl.yml"),
      ...world,
      "--account",
      "main",
    );
    expect(made).toMatchObject({ exitCode: 0, err: [] });
  });
  afterAll(async () => {
    for (const { process: one } of running) one.kill("SIGKILL");
    await platform?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("leaves no timer, socket or thread, however it is ended", async () => {
    const script = fileURLToPath(new URL("./testing/count-resources.ts", import.meta.url));

    const child = node(script, join(folder, "qmtl.yml"), file, "w", deadUrl);

    // It ends by itself: nothing is left that would keep it alive.
    expect({ exitCode: await child.ended, text: child.text }).toMatchObject({ exitCode: 0 });
    const lines = child.text.split("\n").filter((line) => line.startsWith("{"));
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      [
        "before anything was answered",
        "waiting for a gateway, twice at once",
        "refused by the gateway",
        "with a control stream, by its scope, and once more",
      ].map((name) => ({ name, left: [] })),
    );
  });

  test("refuses a strategy that imports another copy of the SDK, naming both and what to do", async () => {
    const apart = join(folder, "apart");
    const other = join(apart, "node_modules/@qmtl/sdk");
    mkdirSync(other, { recursive: true });
    const manifest = { name: "@qmtl/sdk", version: "0.0.7", type: "module", exports: "./index.js" };
    writeFileSync(join(other, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(other, "index.js"), "export class Strategy { static declare() {} }");
    const copy = join(apart, "copy.ts");
    writeFileSync(
      copy,
      'import { Strategy } from "@qmtl/sdk";\nexport class Mine extends Strategy { setup() {} }',
    );
    const own = join(apart, "own.ts");
    const sdk = fileURLToPath(new URL("../../../sdk-ts/sdk/src/index.ts", import.meta.url));
    writeFileSync(own, strategy.replace('"@qmtl/sdk"', JSON.stringify(sdk)));
    const qmtl = (...args: string[]) =>
      runInProcess("--config", join(folder, "qmtl.yml"), ...args, "--json");

    const offline = await qmtl("run", copy, "--offline");
    const online = await qmtl("run", own, "--world", "w");

    for (const { exitCode, err } of [offline, online]) {
      expect(exitCode).toBe(2);
      const { error, reason } = JSON.parse(err[0]!) as { error: string; reason: string };
      expect(reason).toBe("DEPENDENCY_CONFLICT");
      expect(error).toMatch(/^two copies of @qmtl\/sdk: .*\(0\.0\.7\).*npm (dedupe|install)/);
    }
  });

  test("waits for a gateway that is not there, says what to do, goes on when it is, and ends on Ctrl-C", async () => {
    await platform?.stop();
    platform = undefined;
    const qmtl = fileURLToPath(new URL("../../bin/qmtl.js", import.meta.url));
    const args = [qmtl, "--config", join(folder, "qmtl.yml"), "run", file, "--world", "w"];
    const [patient, stopped] = [node(...args), node(...args)];

    for (const each of [patient, stopped]) {
      await told(each, /unreachable .*no gateway at http:\S+ \(connection refused\)/);
      for (const way of ["qmtl up", "--gateway-url", "sdk.gateway_url", "--offline"])
        expect(each.text).toContain(way);
    }
    stopped.process.kill("SIGINT");
    expect(await stopped.ended).toBe(0);
    expect(stopped.text).toMatch(/waiting for gateway since \d{4}-.*: no gateway at/);

    platform = await startPlatform(config);
    await told(patient, /^submitted /m);
    await told(patient, /^connected /m);
    patient.process.kill("SIGINT");
    expect(await patient.ended).toBe(0);
    expect(patient.text.match(/^unreachable/gm)).toHaveLength(1);
    expect(patient.text).not.toContain("waiting for");
  });
});
