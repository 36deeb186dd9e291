import { Command, CommanderError } from "commander";
import { addCommands, type CommandName, commandNames, neededCommands } from "./command-modules.ts";
import { ExitCode, exitCodeOf } from "./exit-codes.ts";
import { printFailure } from "./print.ts";
import { reportStandstill } from "./report-standstill.ts";
import { usageErrorOf } from "./usage-error.ts";

const EXIT_CODES = `
Exit codes:
  0  done
  1  refused, or what was asked for did not happen
  2  bad usage, configuration or input file; nothing was done
  3  the platform could not be reached; for \`up\` and \`service\`: the database was lost, start it again
  4  the feature is in the contract but not implemented yet
  130  interrupted`;

/** The `qmtl` program. @param names the commands to add. @default all of them */
export async function makeProgram(names: readonly CommandName[] = commandNames): Promise<Command> {
  const program = new Command("qmtl")
    .description(
      "trading strategies as graphs: backtest offline, run the same code online behind an order gate",
    )
    .version("0.1.0")
    .option("--config <file>", "configuration file (default: qmtl.yml in this folder)")
    .option("--gateway-url <url>", "address of the gateway, or several separated by commas")
    .option("--json", "answer in JSON")
    // Commands inherit these settings, so the help of each names --json and the exit codes.
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("afterAll", EXIT_CODES)
    .showSuggestionAfterError()
    // `main` prints errors, in JSON where that was asked for; no help text is then mixed into it.
    .configureOutput({
      outputError: () => {},
      writeErr: (text) => void (process.argv.includes("--json") || process.stderr.write(text)),
    })
    .exitOverride();
  await addCommands(program, names);
  return program;
}

/** Runs one command; sets the exit code of the process and never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = await makeProgram(neededCommands(argv.slice(2)));
  if (argv.length <= 2) return program.outputHelp();
  const ended = reportStandstill(argv.includes("--json"));
  try {
    await program.parseAsync([...argv]);
  } catch (failure) {
    const asJson = argv.includes("--json");
    if (failure instanceof CommanderError) {
      process.exitCode = failure.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
      if (failure.exitCode !== 0)
        printFailure(usageErrorOf(failure, program, argv.slice(2)), asJson);
      return;
    }
    printFailure(failure, asJson);
    process.exitCode = exitCodeOf(failure);
  } finally {
    ended();
  }
}
