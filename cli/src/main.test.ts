import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Platform, startPlatform } from "@qmtl/embedded";
import { loadConfig } from "@qmtl/sdk/config";
import { freePorts } from "@qmtl/service-kit/testing";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { operatorContract } from "./commands/testing/operator.contract.ts";
import { main, makeProgram } from "./main.ts";
import { waitFor } from "./wait-for.ts";

const program = await makeProgram();

/** Every command without sub-commands, by its full name. */
function leaves(command: Command = program, path = ""): [string, Command][] {
  if (command.commands.length === 0) return [[path, command]];
  return command.commands.flatMap((each) => leaves(each, `${path} ${each.name()}`.trim()));
}

/** Runs a command in this process. */
async function run(...args: readonly string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line) => out.push(String(line)));
  const error = vi.spyOn(console, "error").mockImplementation((line) => err.push(String(line)));
  try {
    await main(["node", "qmtl", ...args]);
    return { exitCode: Number(process.exitCode ?? 0), out, err };
  } finally {
    process.exitCode = undefined;
    log.mockRestore();
    error.mockRestore();
  }
}

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

/** Words of a command line; a quoted text is one word. */
const wordsOf = (line: string): string[] => line.match(/'[^']*'|\S+/g) ?? [];

describe.each(leaves())("qmtl %s", (path, command) => {
  test("has help with an example that it takes, --json and the exit codes", () => {
    const help = helpOf(command);

    expect(help).toContain(`Usage: qmtl ${path}`);
    expect(help).toContain("--json");
    expect(help).toMatch(/Exit codes:\n {2}0 {2}done/);
    const examples = help.split("\n").filter((line) => line.startsWith("  qmtl "));
    const own = examples.filter((line) => line.startsWith(`  qmtl ${path}`));
    expect(own.length).toBeGreaterThan(0);
    const globals = ["--config", "--gateway-url", "--json"];
    const known = [...command.options.map((option) => option.long), ...globals];
    for (const example of own) {
      const words = wordsOf(example).slice(1 + path.split(" ").length);
      expect(known).toEqual(expect.arrayContaining(words.filter((word) => /^--/.test(word))));
      const needed = command.options.filter((option) => option.mandatory);
      expect(words).toEqual(expect.arrayContaining(needed.map((option) => option.long)));
      const required = command.registeredArguments.filter((argument) => argument.required);
      expect(words.length).toBeGreaterThanOrEqual(required.length);
    }
  });

  test("ends with 2 and says so in JSON when it is used wrongly", async () => {
    const { exitCode, out, err } = await run(...path.split(" "), "--no-such-option", "--json");

    expect({ exitCode, out }).toEqual({ exitCode: 2, out: [] });
    expect(err).toHaveLength(1);
    expect(JSON.parse(err[0]!).error).toMatch(/option '--/);
  });
});

test("a group without a command ends with 2, help and version with 0", async () => {
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const codes = [];
  for (const args of [["world"], ["nonsense"], ["--help"], ["world", "--help"], ["--version"]]) {
    codes.push((await run(...args)).exitCode);
  }
  vi.restoreAllMocks();

  expect(codes).toEqual([2, 2, 0, 0, 0]);
});

test("a platform that is not there is exit 3, with what to do", async () => {
  const { exitCode, err } = await run(
    "world",
    "list",
    "--json",
    "--gateway-url",
    "http://127.0.0.1:1",
  );

  expect(exitCode).toBe(3);
  expect(JSON.parse(err[0]!)).toMatchObject({
    reason: "PEER_UNAVAILABLE",
    hint: expect.stringContaining("qmtl up"),
  });
});

const STRATEGY = `
import { column, PositionTargetNode, Strategy, StreamInput, sma } from "@qmtl/sdk";

export class Crosser extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    const signal = sma(column(bars, "close", { name: "close" }), 2, { name: "mean" });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

const CONFIG = (port: readonly number[], folder: string) => `
sources: {day: {file: ${folder}/feed.csv, interval: 1d, start: 2020-03-20, until: start}}
instruments: {X: {lot: "0.1", mark_source: day}}
accounts: {main: {instruments: [X]}, spare: {instruments: [X]}}
gateway: {port: ${port[0]}, web_port: ${port[1]}, rebalance_schema_version: 2}
dag_manager: {port: ${port[2]}}
world_service: {port: ${port[3]}, compat_rebalance_v2: true}
sdk: {gateway_url: "http://127.0.0.1:${port[0]}"}
storage: {kind: embedded, data_dir: ${folder}/data}
telemetry: {log_level: silent}
`;

function feed(): string {
  const rows = Array.from({ length: 90 }, (_, row) => {
    const close = 100 + ((row * 5) % 7);
    const date = new Date(Date.UTC(2020, 0, 1 + row)).toISOString().slice(0, 10);
    return [date, close, close + 1, close - 1, close].join(",");
  });
  return `date,open,high,low,close\n${rows.join("\n")}\n`;
}

describe("against a platform", () => {
  let folder: string;
  let platform: Platform;
  /** A strategy of another world. */
  let otherId: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "qmtl-cli-"));
    vi.stubEnv("XDG_STATE_HOME", join(folder, "state"));
    writeFileSync(join(folder, "qmtl.yml"), CONFIG(await freePorts(4), folder));
    writeFileSync(join(folder, "feed.csv"), feed());
    writeFileSync(join(folder, "strategy.ts"), STRATEGY);
    writeFileSync(
      join(folder, "policy.yml"),
      "thresholds:\n  dd: {metric: max_drawdown_ratio, max: 0.9}\n",
    );
    symlinkSync(
      fileURLToPath(new URL("../../node_modules", import.meta.url)),
      join(folder, "node_modules"),
    );
    writeFileSync(join(folder, "other.ts"), STRATEGY.replaceAll("Crosser", "Other"));
    platform = await startPlatform(loadConfig({ path: join(folder, "qmtl.yml") }));
    await qmtl(
      ..."world create others --clock replay --source day --account spare --allocation 0".split(
        " ",
      ),
    );
    const { out } = await qmtl("submit", "$/other.ts", "--world", "others", "--json");
    otherId = JSON.parse(out[0]!).strategy_id;
  });
  afterAll(async () => {
    await platform?.stop();
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
  const qmtl = (...args: readonly string[]) =>
    run(
      "--config",
      join(folder, "qmtl.yml"),
      ...args.map((word) => word.replaceAll("$", folder).replace("%other", otherId)),
    );

  /** Commands in an order in which each finds what it needs, with the exit code where that is not 0. */
  const CALLS: readonly (readonly [string, string, number?])[] = [
    ["world create", "demo --clock replay --source day --account main"],
    ["world list", ""],
    ["world metrics", ""],
    ["policy add", "demo $/policy.yml"],
    ["policy validate", "$/policy.yml"],
    ["policy list", "demo"],
    ["policy show", "demo"],
    ["policy set-default", "demo 1"],
    ["submit", "$/strategy.ts --world demo"],
    ["run", "$/strategy.ts --offline --account main"],
    ["worker", "$/strategy.ts $/strategy.ts --world demo", 2],
    ["replay", "$/strategy.ts $/no-record.jsonl", 2],
    ["check", "$/strategy.ts"],
    ["taglint", "$/strategy.ts", 1],
    ["completion", "bash"],
    ["report", "--from $/no-returns.json --out $/report.md", 2],
    ["world show", "demo"],
    ["world update", "demo --max-lag-days 3"],
    ["world delete", "nowhere --yes", 1],
    ["world bind", "demo %other --name Other"],
    ["world bindings", "demo"],
    ["world nodes", "demo"],
    ["world set-node", `demo blake3:${"0".repeat(64)} --status valid`],
    ["world edges", "demo"],
    ["world set-edge", "demo domain:backtest domain:live --cut --reason why"],
    ["world decide", "demo"],
    ["world evaluate", "demo --dry-run"],
    ["world evaluation", "demo", 1], // nothing was judged yet
    ["world select", "demo Crosser --reason why"],
    ["world apply", "demo --run up-1 --to compute-only"],
    ["world runs", "demo"],
    ["world activation", "demo"],
    ["world activate", "demo Crosser --weight 0.5 --reason why"],
    ["world cancel", "demo no-run", 1],
    ["world freeze", "demo --reason why"],
    ["world resume", "demo --hold manual --reason why"],
    ["world deactivate", "demo Crosser"],
    ["world unbind", "demo Other --reason why"],
    ["world audit", "demo"],
    ["explain", "demo Crosser"],
    ["dag diff", "$/strategy.ts --world demo"],
    ["dag stats", "--tag price --interval 1d"],
    ["dag snapshot", "--file $/strategy.ts --snapshot $/dag.snapshot.json --freeze"],
    ["queues list", ""],
    ["queues by-tag", "btc --interval 1m"],
    ["queues replay", "day"],
    ["queues advance", "day --to 2020-03-20"],
    ["events", "--topic world/demo/gate"],
    ["orders list", "--world demo"],
    ["orders show", "no-order", 1],
    ["orders cancel", "--world demo --reason why"],
    ["positions", ""],
    ["account show", "main"],
    ["account list", ""],
    ["account limits", "main"],
    ["account reconcile", "main"],
    ["journal", "main"],
    ["halt", "--world demo --reason why"],
    ["halts", "--world demo"],
    ["resume", "--world demo --reason why"],
    ["rebalance allocate", "--world demo=0.5:Crosser=1 --run first"],
    ["rebalance allocations", ""],
    ["rebalance plan", "--account main --world demo=0.5"],
    ["rebalance apply", "--account main --world demo=0.5 --run second"],
    ["rebalance execute", "--account main --world demo=0.5 --batch b-1 --reason why"],
    ["account adjust", "main --quantity 1 --reason why"], // the books differ from here on
    ["config validate", ""],
    ["config generate", ""],
    ["config schema", ""],
    ["config explain", "gateway.port"],
    ["backup", "--out $/backup.tgz", 1], // the platform runs on the folder
    ["restore", "$/no-backup.tgz --verify", 2],
    ["doctor", ""],
    ["up", "", 1], // the folder is in use
    ["project init", "--path $/made"],
    ["project add-layer", "monitoring --path $/made"],
    ["project validate", "--path $/made"],
    ["project list-layers", ""],
    ["project list-presets", ""],
    // The platform holds their ports.
    ["service gateway", "", 1],
    ["service dag-manager", "", 1],
    ["service world-service", "", 1],
    ["service dagmanager server", "", 1],
  ];

  test("every command is called here", () => {
    const called = CALLS.map(([path]) => path).sort();
    expect(called).toEqual(
      leaves()
        .map(([path]) => path)
        .sort(),
    );
  });

  test("the README names every command", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const named = new Set(
      Array.from(readme.matchAll(/^\| `qmtl ([a-z -]+)/gm), ([, path]) => path!.trim()),
    );
    expect([...named].sort()).toEqual(CALLS.map(([path]) => path).sort());
  });

  const calls = CALLS.map(([path, args, expected = 0]) => ({ path, args, expected }));
  test.each(calls)("qmtl $path $args answers in JSON", async ({ path, args, expected }) => {
    const words = [...path.split(" "), ...args.split(" ").filter((word) => word !== "")];

    const answer = await waitFor(
      async () => {
        const { exitCode, out, err } = await qmtl(...words, "--json");
        // A freeze is in force only when every lease has run out.
        const isTooEarly = expected === 0 && err.some((line) => line.includes('"GATE_SHUT"'));
        return isTooEarly ? undefined : { exitCode, out, err };
      },
      { timeoutMs: 25_000, intervalMs: 100 },
    );

    const { exitCode, out = [], err = [] } = answer ?? {};
    expect({ exitCode, err: expected === 0 ? err : [] }).toEqual({ exitCode: expected, err: [] });
    for (const line of [...out, ...err]) expect(JSON.parse(line)).toBeTypeOf("object");
    expect(out.length + err.length).toBeGreaterThan(0);
  });

  test("a strategy handed in again is the same submission, and runs nowhere", async () => {
    const first = JSON.parse(
      (await qmtl("submit", "$/strategy.ts", "--world", "demo", "--json")).out[0]!,
    );
    const { out } = await qmtl("submit", "$/strategy.ts", "--world", "demo");
    const stats = JSON.parse((await qmtl("queues", "list", "--json")).out[0]!);

    expect(first).toMatchObject({ state: "completed", duplicate: true });
    expect(first.submission_id).not.toBe("");
    expect(first.queues.map(({ node }: { node: string }) => node)).toContain("mean");
    expect(first.queues.every(({ queue }: { queue: string }) => queue !== "")).toBe(true);
    expect(out[0]).toBe(`submission ${first.submission_id} completed (submitted before)`);
    expect(out[1]).toMatch(/^strategy s-[0-9a-f]{16}: \d+ new nodes, \d+ reused$/);
    expect(
      stats.queues.every((each: { holder_session_id: string }) => !each.holder_session_id),
    ).toBe(true);
  });

  test("a strategy for a world that is not there is refused with 1, a file that is not there with 2", async () => {
    const nowhere = await qmtl("submit", "$/strategy.ts", "--world", "nowhere", "--json");
    const nothing = await qmtl("submit", "$/none.ts", "--world", "demo", "--json");

    expect(nowhere.exitCode).toBe(1);
    expect(JSON.parse(nowhere.err[0]!)).toMatchObject({ reason: "WORLD_NOT_FOUND" });
    expect(nothing.exitCode).toBe(2);
    expect(JSON.parse(nothing.err[0]!)).toMatchObject({ reason: "STRATEGY_IMPORT_FAILED" });
  });

  describe("operators", () => operatorContract({ qmtl, folder: () => folder }));
});
