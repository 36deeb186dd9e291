import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeProgram } from "../main.ts";
import { strategyTemplates } from "../project/strategy-templates.ts";
import { bashScript } from "./bash-script.ts";
import { closedChoices } from "./closed-choices.ts";
import { allCommands, completionTree } from "./completion-tree.ts";
import { fishScript } from "./fish-script.ts";
import { zshScript } from "./zsh-script.ts";

const tree = completionTree(await makeProgram());
const commands = allCommands(tree);
const isThere = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

describe("what is completed", () => {
  test("every closed choice belongs to an option or argument that is there", () => {
    const places = commands.flatMap(({ path, options, arguments: args }) => [
      ...options.map(({ flag }) => `${path} ${flag}`),
      ...args.map(({ name }) => `${path} <${name}>`),
    ]);

    expect(places).toEqual(expect.arrayContaining(Object.keys(closedChoices())));
  });

  test("hidden commands are not, those of the help are", () => {
    const paths = commands.map(({ path }) => path);

    expect(paths).toEqual(expect.arrayContaining(["", "project init", "world create", "taglint"]));
    expect(paths).not.toContain("service dagmanager");
  });
});

describe.skipIf(!isThere("bash"))("bash (skipped where there is none)", () => {
  let folder: string;
  let script: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "qmtl-completion-"));
    script = join(folder, "completion.bash");
    writeFileSync(script, bashScript(tree));
    mkdirSync(join(folder, "here"));
    mkdirSync(join(folder, "here", "some folder"));
    for (const name of ["strategy.ts", "with space.ts", "other.yml"])
      writeFileSync(join(folder, "here", name), "");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Completions at the end of each line; `|` separates words, where the shell would split them. */
  function complete(lines: readonly string[]): string[][] {
    const asked = lines
      .map((line) => {
        const words = ["qmtl", ...line.split("|")];
        const quoted = words.map((word) => `'${word}'`).join(" ");
        return `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _qmtl; printf '%s\\t' "\${COMPREPLY[@]}"; echo`;
      })
      .join("\n");
    const out = execFileSync("bash", ["--norc", "-c", `source ${script}\n${asked}`], {
      cwd: join(folder, "here"),
      encoding: "utf8",
    });
    return out
      .split("\n")
      .slice(0, lines.length)
      .map((line) => line.split("\t").filter((word) => word !== ""));
  }

  test("commands, sub-commands, options and closed choices", () => {
    const cases: Record<string, readonly string[]> = {
      proj: ["project"],
      "project|": ["init", "add-layer", "list-presets", "list-layers", "validate"],
      "project|init|--str": ["--strategy"],
      "project|init|--strategy|m": ["multi-indicator", "multi-world"],
      "project|init|--strategy|=|bran": ["branching"],
      "project|init|--strategy|=": strategyTemplates.map(({ name }) => name),
      "project|init|--strategy=bran": ["--strategy=branching"],
      "project|init|--force|--preset|re": ["research"],
      "project|init|--layers|da": ["data"],
      "project|init|--layers|data,si": ["data,signal"],
      "project|add-layer|exe": ["execution"],
      "--json|project|add-layer|--template|si": ["single-indicator"],
      "--config|other.yml|world|cre": ["create"],
      "world|create|demo|--clock|": ["wall", "replay"],
      "config|explain|gateway.po": ["gateway.port"],
      "completion|": ["bash", "zsh", "fish"],
      "dag|diff|--tar": ["--target"],
    };

    const lines = Object.keys(cases);
    const answers = complete(lines);

    expect(Object.fromEntries(lines.map((line, k) => [line, answers[k]]))).toEqual(cases);
  });

  test("files and folders, also with blanks in their names", () => {
    const [run, taglint, out, path, config] = complete([
      "run|",
      "taglint|strategy.ts|with",
      "report|--from|other.yml|--out|ot",
      "project|init|--path|so",
      "run|strategy.ts|--config|oth",
    ]);

    expect(run?.toSorted()).toEqual(["other.yml", "some folder", "strategy.ts", "with space.ts"]);
    expect(taglint).toEqual(["with space.ts"]);
    expect(out).toEqual(["other.yml"]);
    expect(path).toEqual(["some folder"]);
    expect(config).toEqual(["other.yml"]);
  });

  test("nothing where nothing is known", () => {
    expect(complete(["run|--world|", "world|show|", "run|strategy.ts|", "nonsense|x"])).toEqual([
      [],
      [],
      [],
      [],
    ]);
  });
});

/** Checks that a script contains the name and the options of every command. */
function namesOfAll(script: string): void {
  for (const { name, options } of commands) {
    expect(script).toContain(name);
    for (const { flag } of options) expect(script).toContain(flag.replace(/^--/, ""));
  }
  expect(script).toContain("single-indicator multi-indicator branching");
}

describe("the text for", () => {
  test("zsh has one function a command, each called by the one above it", () => {
    const script = zshScript(tree);

    namesOfAll(script);
    expect(script.startsWith("#compdef qmtl\n")).toBe(true);
    const made = [...script.matchAll(/^(_\w+)\(\) \{$/gm)].map(([, name]) => name);
    expect(made).toHaveLength(commands.length);
    expect(new Set(made).size).toBe(made.length);
    const called = [...script.matchAll(/^ +[\w-]+\) (_\w+) && ret=0 ;;$/gm)].map(
      ([, name]) => name,
    );
    expect(called.toSorted()).toEqual(made.filter((name) => name !== "_qmtl").toSorted());
    expect(script).toContain("'--strategy=[start from a strategy template (default\\: general)]");
    // An apostrophe inside a quoted word is written '\'': its three quotes leave open what was open before.
    expect(unclosedQuotes(script.replaceAll("'\\''", ""))).toBe(false);
  });

  test("fish has a line for every command and option", () => {
    const script = fishScript(tree);

    namesOfAll(script);
    const lines = script.split("\n").filter((line) => line.startsWith("complete -c qmtl"));
    const named = lines.filter((line) => / -d '/.test(line));
    expect(named).toHaveLength(
      commands.length - 1 + commands.reduce((sum, { options }) => sum + options.length, 0),
    );
    for (const line of lines) expect(unclosedQuotes(line.replaceAll("\\'", "")), line).toBe(false);
    const opens = script.match(/^ *(function|for|if|switch) /gm)?.length;
    expect(script.match(/^ *end$/gm)).toHaveLength(opens ?? 0);
  });
});

const unclosedQuotes = (text: string): boolean => (text.split("'").length - 1) % 2 === 1;

for (const [shell, render] of [
  ["zsh", zshScript],
  ["fish", fishScript],
] as const) {
  test.skipIf(!isThere(shell))(
    `${shell} reads its script (skipped where there is no ${shell})`,
    () => {
      const { status, stderr } = spawnSync(shell, ["-n"], {
        input: render(tree),
        encoding: "utf8",
      });

      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    },
  );
}
