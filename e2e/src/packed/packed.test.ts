import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installPacked, repository } from "./install-packed.ts";

const runFile = promisify(execFile);

/** Each test starts whole programs; alone on a machine they take a tenth of this. */
const programMsMax = 120_000;

/** One of each kind of node: a source, a built-in, a function with a helper of its own, a target. */
const STRATEGY = `
import { column, PositionTargetNode, ProcessingNode, Strategy, StreamInput, sma } from "@qmtl/sdk";

const half = (value: number): number => value / 2;

export class Swinger extends Strategy {
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d", period: 1 });
    const mean = sma(column(bars, "close", { name: "close" }), 2, { name: "mean" });
    const signal = new ProcessingNode({ name: "signal", inputs: { mean }, period: 1, compute: (w) => 2 * half(w.mean.latest()) });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

function feed(): string {
  const rows = Array.from({ length: 200 }, (_, row) => {
    const close = 100 + ((row * 5) % 7);
    const date = new Date(Date.UTC(2020, 0, 1 + row)).toISOString().slice(0, 10);
    return [date, close, close + 1, close - 1, close].join(",");
  });
  return `date,open,high,low,close\n${rows.join("\n")}\n`;
}

/** A folder of a user: a strategy, its data and a configuration. */
async function writeStory(folder: string, ports: readonly number[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "strategy.ts"), STRATEGY);
  await writeFile(join(folder, "feed.csv"), feed());
  await writeFile(
    join(folder, "qmtl.yml"),
    `sources: {day: {file: feed.csv, interval: 1d}}
instruments: {X: {mark_source: day, lot: "0.1"}}
accounts: {main: {instruments: [X]}}
gateway: {port: ${ports[0]}, web_port: ${ports[1]}}
dag_manager: {port: ${ports[2]}}
world_service: {port: ${ports[3]}}
sdk: {gateway_url: "http://127.0.0.1:${ports[0]}"}
telemetry: {log_level: warn}
`,
  );
}

interface Backtest {
  readonly nodes: readonly { readonly id: string; readonly name: string }[];
}

describe("the packed packages, installed in a folder of their own", {
  timeout: programMsMax,
}, () => {
  let folder: string;
  let app: string;
  let program: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "qmtl-packed-"));
    app = join(folder, "app");
    await installPacked(folder, app);
    await writeStory(app, await freePorts(4));
    program = join(app, "node_modules/qmtl-cli/bin/qmtl.js");
  }, 2 * programMsMax);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const qmtl = async (...args: readonly string[]): Promise<string> =>
    (await runFile(process.execPath, [program, ...args], { cwd: app, maxBuffer: 1 << 24 })).stdout;

  test("the command says what it can do", async () => {
    const help = await qmtl("--help");

    expect(help).toContain("Usage: qmtl");
    expect(help).toMatch(/^ {2}up /m);
  });

  test("a strategy in TypeScript backtests as it does from the sources, node ids and all", async () => {
    const packed = await qmtl("run", "strategy.ts", "--offline", "--json");
    const besides = join(folder, "besides");
    await writeStory(besides, [7400, 7401, 7410, 7420]);
    await symlink(join(repository, "node_modules"), join(besides, "node_modules"), "junction");
    const source = join(repository, "cli/bin/qmtl.js");
    const args = [source, "run", "strategy.ts", "--offline", "--json"];
    const { stdout } = await runFile(process.execPath, args, { cwd: besides });

    const { nodes } = JSON.parse(packed) as Backtest;
    expect(nodes.map(({ name }) => name)).toEqual(expect.arrayContaining(["mean", "signal"]));
    expect(JSON.parse(packed)).toEqual(JSON.parse(stdout));
  });

  test("the platform starts, answers and ends on a signal", async () => {
    const platform = spawn(process.execPath, [program, "--json", "up"], {
      cwd: app,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise<number | null>((resolve) => platform.once("exit", resolve));
    try {
      await readyLine(platform);
      await qmtl(
        "world",
        "create",
        "w",
        "--clock",
        "replay",
        "--source",
        "day",
        "--account",
        "main",
      );
      const worlds = JSON.parse(await qmtl("world", "list", "--json"));

      expect(worlds).toEqual([expect.objectContaining({ world_id: "w", source: "day" })]);
    } finally {
      platform.kill("SIGTERM");
    }
    expect(await ended).toBe(0);
  });

  test("the pinned Node comes along on the machines it is made for", () => {
    const platform: Record<string, string> = {
      "linux-x64": "",
      "linux-arm64": "",
      "win32-x64": "",
    };
    const machine = `${process.platform}-${process.arch}`;
    if (!(machine in platform)) return;
    const name = `node-${machine.replace("win32", "win")}/package.json`;

    expect(createRequire(program).resolve(name)).toMatch(/package\.json$/);
  });

  test("the descriptors for reflection and all migrations come along", async () => {
    const installed = join(app, "node_modules/@qmtl");
    const pairs = [
      ["proto/baseline.binpb", "service-kit/descriptors.binpb"],
      ...(
        await Promise.all(
          ["dag-manager", "gateway", "world-service"].map(async (service) =>
            (
              await readdir(join(repository, "services", service), { recursive: true })
            )
              .filter((path) => /^migrations[^/\\]*[/\\].+\.sql$/.test(path))
              .map((path) => [join("services", service, path), join(service, path)]),
          ),
        )
      ).flat(),
    ];

    expect(pairs.length).toBeGreaterThan(8);
    for (const [source = "", place = ""] of pairs) {
      const packed = await readFile(join(installed, place));
      expect(packed.equals(await readFile(join(repository, source))), place).toBe(true);
    }
  });

  test("no package names a place of the machine it was built on, nor ships a test or a source", async () => {
    const stage = join(folder, "packages/stage");
    const files = (await readdir(stage, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    const texts = await Promise.all(
      files.map(async (file) => ({ file, text: await readFile(file, "latin1") })),
    );

    const place = repository.replace(/[\\/]$/, "");
    expect(texts.filter(({ text }) => text.includes(place)).map(({ file }) => file)).toEqual([]);
    const odd = /[\\/]dist[\\/].*((\.test|\.contract|\.child)\.[jt]s|(?<!\.d)\.ts)$/;
    expect(files.filter((file) => odd.test(file))).toEqual([]);
    expect(files.length).toBeGreaterThan(500);
  });
});

/** Waits for the line by which `qmtl up --json` says that it serves. */
function readyLine(platform: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    platform.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes('"ready"')) resolve();
    });
    platform.once("exit", (code) => reject(new Error(`qmtl up ended with ${code}`)));
  });
}
