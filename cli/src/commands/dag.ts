import type { Command } from "commander";
import { addDagDiffCommand } from "./dag-diff.ts";
import { addDagSnapshotCommand } from "./dag-snapshot.ts";
import { addDagStatsCommand } from "./dag-stats.ts";

/** `qmtl dag …`: the global strategy graph, and what a strategy would add to it. */
export function addDagCommands(program: Command): void {
  const dag = program
    .command("dag")
    .description("the global strategy graph: what a strategy adds to it, its queues")
    .option("--target <url>", "ask this DAG Manager itself; before or after the command");
  addDagDiffCommand(dag);
  addDagStatsCommand(dag);
  addDagSnapshotCommand(dag);
}
