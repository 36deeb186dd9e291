import { globSync, readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, CommanderError } from "commander";
import { expect, test } from "vitest";
import { makeProgram } from "./main.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const documents = globSync(
  [
    "*.md",
    "docs/*.md",
    "cli/**/*.md",
    "examples/**/*.md",
    "sdk-ts/*.md",
    "sdk-ts/*/*.md",
    "services/*.md",
    "e2e/*.md",
  ],
  { cwd: root, exclude: ["**/node_modules/**", "**/dist/**"] },
).sort();

interface Line {
  readonly place: string;
  readonly words: readonly string[];
}

/** Lines of a document's code blocks that call the command, without shell syntax around it. */
function commandLines(document: string): Line[] {
  const lines = readFileSync(resolve(root, document), "utf8").split("\n");
  const found: Line[] = [];
  let isCode = false;
  for (const [at, line] of lines.entries()) {
    if (line.startsWith("```")) isCode = !isCode;
    const call = /^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:npx )?qmtl (.*)$/.exec(line);
    if (!isCode || call === null) continue;
    const text = call[1]!.replace(/\s+#.*$/, "").replace(/\s*(&|\\|[|>].*)$/, "");
    found.push({
      place: `${relative(root, document) || document}:${at + 1}`,
      words: wordsOf(text),
    });
  }
  return found;
}

const wordsOf = (text: string): string[] => text.match(/"[^"]*"|'[^']*'|\S+/g) ?? [];

/** The program's objection to a command line; undefined when it accepts it. No command's action runs here. */
async function faultOf({ words }: Line): Promise<string | undefined> {
  const program = await makeProgram();
  disarm(program);
  try {
    program.parse(words.map(unquoted), { from: "user" });
    return undefined;
  } catch (failure) {
    const isHelp = failure instanceof CommanderError && failure.exitCode === 0;
    return isHelp ? undefined : String(failure);
  }
}

function disarm(command: Command): void {
  command.configureOutput({ writeOut: () => {}, writeErr: () => {} });
  if (command.commands.length === 0) command.action(() => {});
  for (const each of command.commands) disarm(each);
}

const unquoted = (word: string): string => word.replace(/^(["'])(.*)\1$/, "$2");

test.each(documents)("every command line of %s is one the program takes", async (document) => {
  for (const line of commandLines(document)) {
    expect.soft(await faultOf(line), line.place).toBeUndefined();
  }
});

test("an unknown command, an unknown option and a missing argument are found", async () => {
  const fault = (line: string) => faultOf({ place: "", words: line.split(" ") });

  expect(await fault("wrld list")).toMatch(/unknown command 'wrld'/);
  expect(await fault("world list --pretty")).toMatch(/unknown option '--pretty'/);
  expect(await fault("world show")).toMatch(/missing required argument/);
  expect(await fault("run a.ts --offline --json")).toBeUndefined();
});

test("documents with commands are looked at", () => {
  expect(documents.flatMap(commandLines).length).toBeGreaterThan(50);
});
