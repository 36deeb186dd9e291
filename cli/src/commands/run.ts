import type { Command } from "commander";
import { commandSettings } from "../command-settings.ts";
import { CommandError } from "../exit-codes.ts";
import { refuseIdle } from "../refuse-idle.ts";
import type { OfflineCommandOptions } from "./run-offline.ts";
import type { OnlineCommandOptions } from "./run-online.ts";

type RunOptions = OfflineCommandOptions &
  OnlineCommandOptions & { offline?: boolean; world?: string; costs?: boolean; watch?: boolean };

const MORE_HELP = `
Examples:
  qmtl run strategy.ts
  qmtl run strategy.ts --offline --watch
  qmtl run strategy.ts --world demo

--watch: every run is a process of its own; a run in progress is stopped first, and in a world it gives its leases back.
The strategy, the local modules it loads, the configuration and the files of all its sources are watched. A run that
fails is reported, and watching continues; Ctrl-C ends it with 0. With --json: one object per line with its "event": run,
changed, ended, result, failed, closed; "output" holds what the strategy itself prints.`;

/** `qmtl run FILE`: a backtest here, or a runner in a world. */
export function addRunCommands(program: Command): void {
  program
    .command("run <file>")
    .description("run a strategy: offline on files, or online in a world")
    .option(
      "--offline",
      "backtest on the files of the configuration, with no server; also the default without --world",
    )
    .option("--world <world>", "world to run in")
    .option("--export <name>", "which export of the file, when there are several")
    .option("--from <date>", "offline: where trading begins: a date, or a time with its zone")
    .option("--until <date>", "offline: last bar; a date means its whole day")
    .option("--no-costs", "offline: leave fees and spread out; the report says so")
    .option("--report <file>", "offline: write an HTML report")
    .option("--record <file>", "online: record the session, to be replayed offline")
    .option("--watch", "run again when the strategy, its modules, qmtl.yml or the data change")
    .addHelpText("after", MORE_HELP)
    .action(async (file: string, options: RunOptions, command: Command) => {
      if (options.offline && options.world !== undefined)
        throw new CommandError("--offline and --world exclude each other");
      const { record, from, until, report } = options;
      if (options.world === undefined) refuseIdle({ "--record": record }, "without --world");
      else {
        const noCosts = options.costs === false;
        const offline = { "--from": from, "--until": until, "--no-costs": noCosts };
        refuseIdle({ ...offline, "--report": report }, "with --world");
      }
      if (!options.watch) return runOnce(file, options, command);
      const { runWatch } = await import("./run-watch.ts");
      await runWatch(file, command);
    });
}

async function runOnce(file: string, options: RunOptions, command: Command): Promise<void> {
  // The engine and the clients are loaded where they are used, so that no other command pays for them.
  const { world } = options;
  if (world === undefined) {
    const { runOffline } = await import("./run-offline.ts");
    const settings = commandSettings(command);
    return runOffline(settings, file, { ...options, noCosts: options.costs === false });
  }
  const [{ runOnline }, { withSession }] = await Promise.all([
    import("./run-online.ts"),
    import("../session.ts"),
  ]);
  await withSession((session) => runOnline(session, file, world, options))(command);
}
