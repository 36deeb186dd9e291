import { Command, CommanderError } from "commander";
import { addEventsCommand } from "./commands/events.ts";
import { addExplainCommand } from "./commands/explain.ts";
import { addHaltCommands, addOrderCommands } from "./commands/orders.ts";
import { addPolicyCommands } from "./commands/policy.ts";
import { addQueuesCommands } from "./commands/queues.ts";
import { addRebalanceCommands } from "./commands/rebalance.ts";
import { addReplayCommand } from "./commands/replay.ts";
import { addRunCommands } from "./commands/run.ts";
import { addUpCommand } from "./commands/up.ts";
import { addWorldCommands } from "./commands/world.ts";
import { ExitCode, exitCodeOf } from "./exit-codes.ts";
import { printFailure } from "./print.ts";

const EXIT_CODES = `
Exit codes:
  0  done
  1  refused, or what was asked for did not happen
  2  bad usage, configuration or input file; nothing was done
  3  the platform could not be reached
  4  the feature is in the contract but not built yet`;

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
    .addHelpText("after", EXIT_CODES)
    .showSuggestionAfterError()
    .exitOverride();
  addUpCommand(program);
  addRunCommands(program);
  addReplayCommand(program);
  addWorldCommands(program);
  addPolicyCommands(program);
  addExplainCommand(program);
  addQueuesCommands(program);
  addEventsCommand(program);
  addOrderCommands(program);
  addHaltCommands(program);
  addRebalanceCommands(program);
  return program;
}

/** Runs one command; sets the exit code of the process and never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = makeProgram();
  if (argv.length <= 2) return program.outputHelp();
  try {
    await program.parseAsync([...argv]);
  } catch (failure) {
    if (failure instanceof CommanderError) {
      process.exitCode = failure.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
      return;
    }
    printFailure(failure, argv.includes("--json"));
    process.exitCode = exitCodeOf(failure);
  }
}
