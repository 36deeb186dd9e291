import { CommandError, ExitCode } from "./exit-codes.ts";
import { printFailure } from "./print.ts";

/**
 * Makes the process exit with 2 and say why when what it awaits can never happen; Node alone would exit silently.
 *
 * @returns function to call when the command has ended
 */
export function reportStandstill(asJson: boolean): () => void {
  const tell = (): void => {
    if (process.exitCode !== undefined) return; // it was ended on purpose
    process.exitCode = ExitCode.usage;
    const hint = "look for an `await` at the top of the strategy file, or of a module it imports";
    const message = "nothing is left to run: the program awaits something that never happens";
    printFailure(new CommandError(message, ExitCode.usage, hint), asJson);
  };
  process.once("exit", tell);
  return () => void process.off("exit", tell);
}
