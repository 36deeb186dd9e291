import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { addCommands, commandNames, neededCommands } from "./command-modules.ts";

const namesOf = (program: Command) => program.commands.map((command) => command.name());

describe("the modules of the commands", () => {
  it("are listed under the names of the commands they add, in the order of the help", async () => {
    const whole = new Command();
    await addCommands(whole, commandNames);
    expect(namesOf(whole)).toEqual(commandNames);
  });

  it("bring each command without the others", async () => {
    for (const name of commandNames) {
      const program = new Command();
      await addCommands(program, [name]);
      expect(namesOf(program)).toContain(name);
      expect(namesOf(program).length).toBeLessThanOrEqual(2);
    }
  });
});

describe("the commands that a command line needs", () => {
  it.each([
    ["run", ["run", "strategy.ts", "--world", "up"]],
    ["world", ["--config", "run", "--json", "world", "list"]],
    ["world", ["--config=qmtl.yml", "--gateway-url", "http://127.0.0.1:1", "world"]],
    ["halt", ["halt", "--help"]],
  ])("are %s alone", (name, words) => {
    expect(neededCommands(words)).toEqual([name]);
  });

  it("are none for the version", () => {
    expect(neededCommands(["--version"])).toEqual([]);
    expect(neededCommands(["--json", "-V"])).toEqual([]);
  });

  it("are all of them for help, completion, an unknown word and options alone", () => {
    for (const words of [["help", "run"], ["--help"], ["completion", "bash"], ["rnu", "-V"], []]) {
      expect(neededCommands(words)).toEqual(commandNames);
    }
  });
});
