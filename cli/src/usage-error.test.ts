import { CommanderError } from "commander";
import { expect, test } from "vitest";
import { makeProgram } from "./main.ts";
import { usageErrorOf } from "./usage-error.ts";

/** Message and hint for a command line that the parser refuses. */
async function refusalOf(line: string): Promise<{ message: string; hint: string | undefined }> {
  const words = line.split(" ").filter((word) => word !== "");
  const program = await makeProgram();
  try {
    await program.parseAsync(["node", "qmtl", ...words]);
  } catch (failure) {
    if (failure instanceof CommanderError) return usageErrorOf(failure, program, words);
  }
  throw new Error(`\`${line}\` was taken`);
}

test.each([
  [
    "wrold list",
    "unknown command 'wrold'",
    "did you mean world? `qmtl --help` shows what it takes",
  ],
  [
    "world lst",
    "unknown command 'lst'",
    "did you mean list? `qmtl world --help` shows what it takes",
  ],
  [
    "world list --jsn",
    "unknown option '--jsn'",
    "did you mean --json? `qmtl world list --help` shows what it takes",
  ],
  [
    "world show",
    "missing required argument 'world'",
    "`qmtl world show --help` shows what it takes",
  ],
  [
    "halt",
    "required option '--reason <text>' not specified",
    "`qmtl halt --help` shows what it takes",
  ],
])("`qmtl %s` is answered with what to do next", async (line, message, hint) => {
  expect(await refusalOf(line)).toMatchObject({ message, hint });
});
