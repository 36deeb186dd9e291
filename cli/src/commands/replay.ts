import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { printJson } from "../print.ts";
import { withSession } from "../session.ts";

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
    .action(
      withSession(async (session, file: string, path: string, options: { export?: string }) => {
        // The engine is loaded here, so that no other command pays for it.
        const { loadStrategy, readSessionRecord, replaySession } = await import("@qmtl/sdk");
        const strategy = await loadStrategy(file, options.export);
        const record = await readSessionRecord(path);
        const outcome = await replaySession(strategy, record, { config: session.config });
        if (session.asJson) printJson(outcome);
        else {
          console.log(`orders identical: ${outcome.same}/${outcome.total}`);
          for (const difference of outcome.differences) console.log(`  ${difference}`);
        }
        if (!outcome.identical) {
          throw new CommandError("the replay made other orders", ExitCode.refused);
        }
      }),
    );
}
