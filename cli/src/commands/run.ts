import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { withSession } from "../session.ts";
import type { OfflineCommandOptions } from "./run-offline.ts";
import type { OnlineCommandOptions } from "./run-online.ts";

type RunOptions = OfflineCommandOptions &
  OnlineCommandOptions & { offline?: boolean; world?: string };

/** `qmtl run FILE`: a backtest here, or a runner in a world. */
export function addRunCommands(program: Command): void {
  program
    .command("run <file>")
    .description("run a strategy: offline on files, or online in a world")
    .option("--offline", "backtest on the files of the configuration; needs no server")
    .option("--world <world>", "world to run in")
    .option("--export <name>", "which export of the file, when there are several")
    .option("--from <date>", "offline: first bar traded")
    .option("--until <date>", "offline: last bar")
    .option("--no-costs", "offline: leave fees and spread out; stamped on the report")
    .option("--report <file>", "offline: write an HTML report")
    .option("--record <file>", "online: record the session, to be replayed offline")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl run strategy.ts --offline\n  qmtl run strategy.ts --world demo",
    )
    .action(
      withSession(async (session, file: string, options: RunOptions & { costs?: boolean }) => {
        if (options.offline) {
          // The engine is loaded here, so that no other command pays for it.
          const { runOffline } = await import("./run-offline.ts");
          return runOffline(session, file, { ...options, noCosts: options.costs === false });
        }
        if (options.world === undefined)
          throw new CommandError("say --offline, or name a world with --world");
        const { runOnline } = await import("./run-online.ts");
        await runOnline(session, file, options.world, options);
      }),
    );
}
