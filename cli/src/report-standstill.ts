import { CommandError, ExitCode } from "./exit-codes.ts";
import { printFailure } from "./print.ts";

/**
 * Has the process end with 2 and say why when what it waits for can never come: its own end would be silent.
 *
 * @returns to be called when the command has come to its end
 */
export function reportStandstill(asJson: boolean): () => void {
  const tell = (): void => {
    if (process.exitCode !== undefined) return; // somebody ended the process
    process.exitCode = ExitCode.usage;
    const hint = "look for an `await` at the top of the strategy file, or of a module it imports";
    const message = "nothing is left to run: the program awaits something that never happens";
    printFailure(new CommandError(message, ExitCode.usage, hint), asJson);
  };
  process.once("exit", tell);
  return () => void process.off("exit", tell);
}
