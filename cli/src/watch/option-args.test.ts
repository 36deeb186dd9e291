import { Command } from "commander";
import { expect, test } from "vitest";
import { optionArgs } from "./option-args.ts";

/** The options that a program parses from arguments, and the arguments made from those. */
async function parsed(args: readonly string[]) {
  const taken: { options?: Record<string, unknown>; again?: string[] } = {};
  const program = new Command("p").option("--json").option("--config <file>", "", "default.yml");
  program
    .command("run <file>")
    .option("--from <date>")
    .option("--no-costs")
    .option("--watch")
    .option("-x")
    .action((_file, _options, command: Command) => {
      taken.options = command.optsWithGlobals();
      taken.again = optionArgs(command, ["watch"]);
    });
  await program.parseAsync(["node", "p", ...args]);
  return taken;
}

test("options given are given again, those of parents too, without defaults and what is left out", async () => {
  const { options, again } = await parsed([
    ...["--json", "run", "file.ts", "--watch", "-x", "--no-costs"],
    ...["--config", "a b.yml", "--from=--odd"],
  ]);

  expect(again?.toSorted()).toEqual(
    ["--json", "-x", "--no-costs", "--config=a b.yml", "--from=--odd"].toSorted(),
  );
  const { options: repeated } = await parsed(["run", ...again!, "--watch", "--", "file.ts"]);
  expect(repeated).toEqual(options);
  expect((await parsed(["run", "file.ts"])).again).toEqual([]);
});
