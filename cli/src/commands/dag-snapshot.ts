import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import type { GraphDifference } from "../graph/graph-differences.ts";
import { printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { writeWhole } from "../write-whole.ts";

interface SnapshotOptions extends GlobalOptions {
  file: string;
  snapshot: string;
  freeze?: boolean;
  verify?: boolean;
  target?: string;
  world: string;
  export?: string;
}

/** `qmtl dag snapshot`: freezes the canonical ids of a strategy's nodes, and reports what changed. No platform is asked. */
export function addDagSnapshotCommand(dag: Command): void {
  dag
    .command("snapshot")
    .description("freeze the node ids of a strategy in a file, or verify them; needs no server")
    .requiredOption("--file <file>", "a strategy, or a StrategyGraph in JSON (.json)")
    .option("--snapshot <file>", "file of the snapshot", "dag.snapshot.json")
    .option("--freeze", "write the snapshot")
    .option("--verify", "compare with the snapshot; exits with 1 and names each difference")
    .option("--world <world>", "world the strategy is declared for", "offline")
    .option("--export <name>", "which export of the file, when there are several")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl dag snapshot --file strategy.ts --freeze\n  qmtl dag snapshot --file strategy.ts --verify",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<SnapshotOptions>();
      if ((options.freeze === true) === (options.verify === true))
        throw new CommandError("give either --freeze or --verify");
      refuseIdle({ "--target": options.target }, "here: this command does not call the platform");
      const { isGraphFile } = await import("../graph/read-graph.ts");
      if (isGraphFile(options.file))
        refuseIdle({ "--export": options.export }, "with a graph in JSON");
      await (options.freeze === true ? freeze(options) : verify(options));
    });
}

async function freeze(options: SnapshotOptions): Promise<void> {
  // The engine is loaded here, so that no other command pays for it.
  const { snapshotOf, snapshotText } = await import("../graph/graph-snapshot.ts");
  const snapshot = await snapshotOf(options.file, options);
  writeWhole(options.snapshot, snapshotText(snapshot), true);
  const { strategy, nodes } = snapshot;
  if (options.json) return printJson({ snapshot: options.snapshot, strategy, nodes: nodes.length });
  console.log(`${nodes.length} node ids frozen in ${options.snapshot}`);
}

async function verify(options: SnapshotOptions): Promise<void> {
  const { readSnapshot, snapshotOf } = await import("../graph/graph-snapshot.ts");
  const { graphDifferences } = await import("../graph/graph-differences.ts");
  const frozen = readSnapshot(options.snapshot);
  const now = await snapshotOf(options.file, options);
  const differences = graphDifferences(frozen.nodes, now.nodes);
  const isEqual = differences.length === 0;
  if (!isEqual) process.exitCode = ExitCode.refused;
  if (options.json) {
    const { strategy, nodes } = now;
    return printJson({ equal: isEqual, strategy, nodes: nodes.length, differences });
  }
  if (isEqual) return console.log(`${now.nodes.length} node ids match ${options.snapshot}`);
  for (const difference of differences) printDifference(difference);
  console.log(
    `${differences.length} differences from ${options.snapshot}; if they are intended, freeze it again`,
  );
}

function printDifference({ kind, node, frozen, now, because }: GraphDifference): void {
  console.log(`${kind.padEnd(7)}  ${node}  ${[frozen, now].filter(Boolean).join(" -> ")}`);
  for (const part of because) console.log(`           ${part}`);
}
