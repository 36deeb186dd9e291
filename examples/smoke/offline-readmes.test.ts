import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commandsOf, parseCommandLine } from "./command-line.ts";

const examples = join(import.meta.dirname, "..");
const repository = join(examples, "..");
const names = [
  "momentum",
  "branching",
  "multi-indicator",
  "tag-query",
  "cross-market-lag",
  "multi-asset",
  "correlation",
  "custom-node-package",
  "recorder",
] as const;

interface Outcome {
  readonly example: string;
  readonly command: string;
  readonly exitCode: number;
  readonly printed: string;
}

const page = (name: string): string => readFileSync(join(examples, name, "README.md"), "utf8");

/** Every `npx qmtl` line of the READMEs: from the root where it names the example, else from the example's folder. */
const commands = names.flatMap((example) =>
  commandsOf(page(example)).map((command) => {
    const [npx, qmtl, ...args] = parseCommandLine(command).words;
    if (npx !== "npx" || qmtl !== "qmtl") throw new Error(`not a command of qmtl: ${command}`);
    const isFromRoot = command.includes(`examples/${example}/`);
    return { example, command, args, cwd: isFromRoot ? repository : join(examples, example) };
  }),
);
let folder: string;
let outcomes: readonly Outcome[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "offline-readmes-"));
  const program = realpathSync(join(repository, "node_modules/.bin/qmtl"));
  const child = join(import.meta.dirname, "offline-commands.ts");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [child, program, JSON.stringify(commands)],
    { env: { ...process.env, RECORD_FILE: join(folder, "record.jsonl") }, maxBuffer: 1 << 24 },
  );
  const lines = stdout.trimEnd().split("\n");
  outcomes = lines.map((line, k) => ({ ...commands[k]!, ...JSON.parse(line) }));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** The lines of a README's first block of output. */
function toldOutput(name: string): string[] {
  const blocks = [...page(name).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
  const block = blocks.find(([, language]) => language === "")?.[2];
  if (block === undefined) throw new Error(`the README of ${name} shows no output`);
  return block.trimEnd().split("\n");
}

describe("the commands of the READMEs", () => {
  test("are two for each example and all end well", () => {
    expect(outcomes).toHaveLength(commands.length);
    expect(outcomes.filter(({ exitCode }) => exitCode !== 0)).toEqual([]);
    for (const name of names) {
      const own = outcomes.filter(({ example }) => example === name);
      expect(own.length, name).toBeGreaterThanOrEqual(2);
      expect(own.at(-1)?.printed, name).toBe(own[0]?.printed);
    }
  });

  test.each(names.filter((name) => name !== "recorder"))(
    "%s prints what its README says",
    (name) => {
      const printed = outcomes.find(({ example }) => example === name)?.printed.split("\n") ?? [];
      for (const line of toldOutput(name)) {
        const [told = ""] = line.split("…"); // what is left out
        expect(
          printed.filter((one) => one.startsWith(told.trimEnd())),
          line,
        ).not.toEqual([]);
      }
    },
  );

  test("recorder leaves the record its README shows", () => {
    const lines = readFileSync(join(folder, "record.jsonl"), "utf8").split("\n");
    const told = toldOutput("recorder").map((line) => JSON.parse(line));
    for (const [k, value] of told.entries()) {
      const { price, fee, ...same } = value;
      expect(JSON.parse(lines[k]!)).toMatchObject(same);
      if (price !== undefined) expect(JSON.parse(lines[k]!).price).toBeCloseTo(price, 2);
      if (fee !== undefined) expect(JSON.parse(lines[k]!).fee).toBeCloseTo(fee, 2);
    }
  });
});
