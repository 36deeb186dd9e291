import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const program = join(repository, "cli/bin/qmtl.js");

const GOOD = `
import { column, PositionTargetNode, Strategy, StreamInput } from "@qmtl/sdk";

export class Holder extends Strategy {
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    this.addNodes([new PositionTargetNode({ signal: column(bars, "close"), instrument: "X", thresholds: { longEnter: 1 } })]);
  }
}
`;
const CONFIG =
  "sources: {day: {file: feed.csv, interval: 1d}}\ninstruments: {X: {mark_source: day}}\n";

/** Files in a user's folder, and what a command that reads them must answer. */
interface Case {
  readonly what: string;
  readonly args: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly told: Readonly<Record<string, unknown>>;
}

const init = ["project", "init", "--path", "made"];
const run = ["run", "strategy.ts", "--offline"];
const strategy = (text: string) => ({ "strategy.ts": text });
const config = (text: string) => ({ "qmtl.yml": text });
const hint = expect.stringMatching(/./);

const CASES: readonly Case[] = [
  {
    what: "a template there is none of",
    args: [...init, "--strategy", "brunching"],
    told: { exitCode: 2, error: expect.stringContaining("brunching"), hint },
  },
  {
    what: "a preset there is none of",
    args: [...init, "--preset", "maximal"],
    told: { exitCode: 2, error: expect.stringContaining("maximal"), hint },
  },
  {
    what: "a layer there is none of",
    args: [...init, "--layers", "data,sgnal"],
    told: { exitCode: 2, error: expect.stringContaining("sgnal"), hint },
  },
  {
    what: "a folder that is there",
    args: ["project", "init", "--path", "taken"],
    told: { exitCode: 1, error: expect.stringContaining("taken"), hint },
  },
  {
    what: "a strategy file that is not there",
    args: ["run", "nowhere.ts", "--offline"],
    told: { exitCode: 2, reason: "STRATEGY_IMPORT_FAILED" },
  },
  {
    what: "a strategy file that throws when it is read",
    args: run,
    files: strategy('throw new Error("not today");\n'),
    told: {
      exitCode: 2,
      reason: "STRATEGY_IMPORT_FAILED",
      error: expect.stringContaining("not today"),
    },
  },
  {
    what: "a strategy file that does not parse",
    args: run,
    files: strategy("export class {\n"),
    told: { exitCode: 2, reason: "STRATEGY_IMPORT_FAILED" },
  },
  {
    what: "a strategy file without a strategy",
    args: run,
    files: strategy("export const answer = 42;\n"),
    told: { exitCode: 2, reason: "STRATEGY_NOT_EXPORTED" },
  },
  {
    what: "a strategy file with several",
    args: run,
    files: strategy(`${GOOD}\nexport class Second extends Holder {}\n`),
    told: {
      exitCode: 2,
      reason: "STRATEGY_AMBIGUOUS",
      error: expect.stringMatching(/Holder.*Second/),
    },
  },
  {
    what: "an interval that is none",
    args: run,
    files: strategy(GOOD.replace('"1d"', '"1 day"')),
    told: { exitCode: 2, error: expect.stringContaining("StreamInput.interval") },
  },
  {
    what: "an interval of a source that is none",
    args: run,
    files: config(CONFIG.replace("interval: 1d", "interval: 1x")),
    told: {
      exitCode: 2,
      reason: "CONFIG_INVALID",
      issues: [{ path: "sources.day.interval", line: 1 }],
    },
  },
  {
    what: "a key there is none of, deep in a file",
    args: run,
    files: config(
      `${CONFIG}accounts:\n  main:\n    limits: {max_order_notionl: "5"}\n    instruments: [X]\n`,
    ),
    told: {
      exitCode: 2,
      reason: "CONFIG_INVALID",
      issues: [
        {
          path: "accounts.main.limits.max_order_notionl",
          line: 5,
          suggestion: "max_order_notional",
        },
      ],
    },
  },
  {
    what: "a value of a wrong type, deep in a file",
    args: run,
    files: config(`${CONFIG}accounts:\n  main:\n    instruments: [{X: 1}]\n`),
    told: {
      exitCode: 2,
      reason: "CONFIG_INVALID",
      issues: [{ path: "accounts.main.instruments.0", line: 5 }],
    },
  },
  {
    what: "a file that is not YAML",
    args: run,
    files: config("sources: {day: [\n"),
    told: { exitCode: 2, reason: "CONFIG_NOT_YAML" },
  },
  {
    what: "a configuration that is a folder",
    args: [...run, "--config", "taken"],
    told: { exitCode: 2, reason: "CONFIG_UNREADABLE" },
  },
  {
    what: "a configuration that is not there",
    args: [...run, "--config", "taken/file.txt/qmtl.yml"],
    told: { exitCode: 2, reason: "CONFIG_UNREADABLE" },
  },
  {
    what: "an empty configuration",
    args: run,
    files: config(""),
    told: { exitCode: 2 },
  },
];

/** Commands that run at the same time, for two cores. */
const atOnceMax = 2;

describe("in a folder of a user, the command refuses", { timeout: 300_000 }, () => {
  let folder: string;
  const answers = new Map<string, unknown>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "qmtl-refusals-"));
    const waiting = [...CASES];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
        answers.set(next.what, await answerTo(next, await workFolderOf(next)));
    };
    await Promise.all(Array.from({ length: atOnceMax }, work));
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function workFolderOf({ files = {} }: Case): Promise<string> {
    const workFolder = await mkdtemp(join(folder, "work-"));
    await symlink(join(repository, "node_modules"), join(workFolder, "node_modules"));
    await mkdir(join(workFolder, "taken"));
    const all = { "strategy.ts": GOOD, "qmtl.yml": CONFIG, "taken/file.txt": "mine\n", ...files };
    for (const [name, text] of Object.entries(all)) await writeFile(join(workFolder, name), text);
    return workFolder;
  }

  test.each(CASES)("$what", ({ what, told }) => {
    expect(answers.get(what)).toMatchObject({ ...told, untouched: true });
  });
});

/** How a command ends, what it printed, and whether the folder is as it was. */
async function answerTo({ args }: Case, workFolder: string): Promise<unknown> {
  const before = await contents(workFolder);
  const { exitCode, stderr } = await new Promise<{ exitCode: number; stderr: string }>(
    (resolve) => {
      execFile(
        process.execPath,
        [program, ...args, "--json"],
        { cwd: workFolder },
        (failure, _, errors) =>
          resolve({ exitCode: failure === null ? 0 : Number(failure.code ?? -1), stderr: errors }),
      );
    },
  );
  const told: unknown = stderr.startsWith("{") ? JSON.parse(stderr) : { error: stderr };
  const after = await contents(workFolder);
  return { ...Object(told), exitCode, untouched: after === before };
}

async function contents(workFolder: string): Promise<string> {
  const names = (await readdir(workFolder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const texts = await Promise.all(names.map((name) => readFile(name, "utf8")));
  return JSON.stringify(names.map((name, at) => [name, texts[at]]));
}
