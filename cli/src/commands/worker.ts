import type { Command } from "commander";
import { withSession } from "../session.ts";

const MORE_HELP = `
Examples:
  qmtl worker trend.ts swing.ts --world demo
  qmtl worker strategies/*.ts "more.ts#Fast" --world demo

Each file is one strategy, as for \`qmtl run\`; FILE#NAME says which export, when there are several. Nodes that several
strategies have are computed once, and all strategies share one session. Nothing is submitted before every strategy is
loaded and backtested; each needs a name of its own. A strategy that fails later is taken out, named, and the others go
on; the exit code is then 1. Until the worker has ended, no other process sends orders of that strategy.
SIGINT and SIGTERM end all of them in order; started again, the worker continues from its snapshots.`;

/** `qmtl worker FILE…`: many strategies in one process, in a world. */
export function addWorkerCommand(program: Command): void {
  program
    .command("worker <file...>")
    .description(
      "run several strategies in a world, in one process that computes what they share once",
    )
    .requiredOption("--world <world>", "world to run in")
    .addHelpText("after", MORE_HELP)
    .action(
      withSession(async (session, files: string[], { world }: { world: string }) => {
        // The engine is loaded here, so that no other command pays for it.
        const { runWorker } = await import("./run-worker.ts");
        await runWorker(session, files, world);
      }),
    );
}
