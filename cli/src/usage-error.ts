import type { Command, CommanderError } from "commander";
import { CommandError, ExitCode } from "./exit-codes.ts";

/** A refusal of the command line parser as a usage error; the hint says what was meant and whose help tells more. */
export function usageErrorOf(
  failure: CommanderError,
  program: Command,
  words: readonly string[],
): CommandError {
  const path = calledPath(program, words);
  const help = `\`${[...path, "--help"].join(" ")}\``;
  if (failure.code === "commander.help")
    return new CommandError("name a command", ExitCode.usage, `${help} shows them`);
  const [message = "", suggestion] = failure.message
    .replace(/^error: /, "")
    .split("\n(Did you mean ");
  const meant = suggestion === undefined ? "" : `did you mean ${suggestion.replace(/\?\)$/, "")}? `;
  return new CommandError(message, ExitCode.usage, `${meant}${help} shows what it takes`);
}

/** Names of the program and of the command that was called, as far as the words are commands. */
function calledPath(program: Command, words: readonly string[]): string[] {
  const path = [program.name()];
  let at: Command = program;
  for (const word of words) {
    const next = at.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) continue;
    at = next;
    path.push(next.name());
  }
  return path;
}
