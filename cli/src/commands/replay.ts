import type { Command } from "commander";
import { commandSettings } from "../command-settings.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { printJson } from "../print.ts";

/** `qmtl replay FILE RECORD`: a recorded session again, offline; exits 1 unless every order is the same. */
export function addReplayCommand(program: Command): void {
  program
    .command("replay <file> <record>")
    .description("run a recorded session again, offline, and compare its orders")
    .option("--export <name>", "which export of the file, when there are several")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl run strategy.ts --world demo --record session.jsonl\n  qmtl replay strategy.ts session.jsonl",
    )
    .action(async (file: string, path: string, options: { export?: string }, command: Command) => {
      const { config, asJson } = commandSettings(command);
      // The engine is loaded here, so that no other command pays for it.
      const { loadStrategy } = await import("@qmtl/sdk");
      const { readSessionRecord, replaySession } = await import("@qmtl/sdk/platform");
      const strategy = await loadStrategy(file, options.export);
      const record = await readSessionRecord(path);
      const outcome = await replaySession(strategy, record, { config });
      if (asJson) printJson(outcome);
      else {
        console.log(`orders identical: ${outcome.same}/${outcome.total}`);
        for (const difference of outcome.differences) console.log(`  ${difference}`);
      }
      if (!outcome.identical) {
        throw new CommandError("the replay made different orders", ExitCode.refused);
      }
    });
}
