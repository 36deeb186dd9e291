import { Command, CommanderError } from "commander";
import { addAccountCommands } from "./commands/account.ts";
import { addBackupCommand } from "./commands/backup.ts";
import { addCompletionCommand } from "./commands/completion.ts";
import { addConfigCommands } from "./commands/config.ts";
import { addDagCommands } from "./commands/dag.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addEventsCommand } from "./commands/events.ts";
import { addExplainCommand } from "./commands/explain.ts";
import { addHaltCommands } from "./commands/halt.ts";
import { addJournalCommands } from "./commands/journal.ts";
import { addOrderCommands } from "./commands/orders.ts";
import { addPolicyCommands } from "./commands/policy.ts";
import { addProjectCommands } from "./commands/project.ts";
import { addQueuesCommands } from "./commands/queues.ts";
import { addRebalanceCommands } from "./commands/rebalance.ts";
import { addReplayCommand } from "./commands/replay.ts";
import { addReportCommand } from "./commands/report.ts";
import { addRestoreCommand } from "./commands/restore.ts";
import { addRunCommands } from "./commands/run.ts";
import { addServiceCommands } from "./commands/service.ts";
import { addSubmitCommand } from "./commands/submit.ts";
import { addTaglintCommand } from "./commands/taglint.ts";
import { addUpCommand } from "./commands/up.ts";
import { addWorldCommands } from "./commands/world.ts";
import { CommandError, ExitCode, exitCodeOf } from "./exit-codes.ts";
import { printFailure } from "./print.ts";

const EXIT_CODES = `
Exit codes:
  0  done
  1  refused, or what was asked for did not happen
  2  bad usage, configuration or input file; nothing was done
  3  the platform could not be reached
  4  the feature is in the contract but not built yet
  130  interrupted`;

/** The whole command line. */
export function makeProgram(): Command {
  const program = new Command("qmtl")
    .description(
      "trading strategies as graphs: backtest offline, run the same code online behind an order gate",
    )
    .version("0.1.0")
    .option("--config <file>", "configuration file (default: qmtl.yml here)")
    .option("--gateway-url <url>", "address of the gateway")
    .option("--json", "answer in JSON")
    // Commands take these settings over, so each one's help names --json and the exit codes.
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("afterAll", EXIT_CODES)
    .showSuggestionAfterError()
    .configureOutput({ outputError: () => {} }) // told by `main`, in JSON where that was asked for
    .exitOverride();
  addProjectCommands(program);
  addUpCommand(program);
  addServiceCommands(program);
  addRunCommands(program);
  addSubmitCommand(program);
  addReplayCommand(program);
  addReportCommand(program);
  addWorldCommands(program);
  addPolicyCommands(program);
  addExplainCommand(program);
  addDagCommands(program);
  addQueuesCommands(program);
  addEventsCommand(program);
  addOrderCommands(program);
  addAccountCommands(program);
  addJournalCommands(program);
  addHaltCommands(program);
  addRebalanceCommands(program);
  addConfigCommands(program);
  addBackupCommand(program);
  addRestoreCommand(program);
  addDoctorCommand(program);
  addTaglintCommand(program);
  addCompletionCommand(program);
  return program;
}

/** Runs one command; sets the exit code of the process and never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = makeProgram();
  if (argv.length <= 2) return program.outputHelp();
  try {
    await program.parseAsync([...argv]);
  } catch (failure) {
    const asJson = argv.includes("--json");
    if (failure instanceof CommanderError) {
      process.exitCode = failure.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
      if (failure.exitCode !== 0) printFailure(usageErrorOf(failure), asJson);
      return;
    }
    printFailure(failure, asJson);
    process.exitCode = exitCodeOf(failure);
  }
}

/** What the command line parser refused, as any other usage error. */
function usageErrorOf(failure: CommanderError): CommandError {
  if (failure.code === "commander.help")
    return new CommandError("name a command", ExitCode.usage, "`qmtl --help` shows them");
  return new CommandError(failure.message.replace(/^error: /, ""));
}
