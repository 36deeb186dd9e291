import type { Command } from "commander";
import { commandSettings } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";
import { printJson, printNote, printTable } from "../print.ts";

/** `qmtl check FILE`: what the nodes of a strategy claim, measured on its data. */
export function addCheckCommand(program: Command): void {
  program
    .command("check <file>")
    .description(
      "check the state of each FoldNode on the rows of its sources, and what its memory claims",
    )
    .option("--export <name>", "which export of the file, when there are several")
    .addHelpText(
      "after",
      `
Example:
  qmtl check strategy.ts

Each fold is run over all rows; a state of another shape is an error at its row. One that claims a memory of n rows is set
back to its initial state at up to eight rows: n rows later its outputs must be the same again, to a billionth of their
largest value. Exits with 1 when a claim does not hold.`,
    )
    .action(async (file: string, options: { export?: string }, command: Command) => {
      const settings = commandSettings(command);
      const [{ loadStrategy }, { checkFolds }] = await Promise.all([
        import("@qmtl/sdk"),
        import("@qmtl/sdk/platform"),
      ]);
      const { asJson, config } = settings;
      const folds = await checkFolds(await loadStrategy(file, options.export), {
        config,
        onProblem: (problem) => printNote(problem, asJson),
      });
      if (asJson) {
        printJson({
          folds: folds.map(({ nodeId, name, memory, rows, starts, effect, isTrue }) => ({
            ...{ node_id: nodeId, name, memory, rows, starts },
            ...{ effect: Number.isFinite(effect) ? effect : null, holds: isTrue },
          })),
        });
      } else if (folds.length === 0) console.log("the strategy has no FoldNode");
      else {
        printTable(
          ["fold", "memory", "rows", "found"],
          folds.map((fold) => [fold.name, String(fold.memory), String(fold.rows), foundOf(fold)]),
        );
      }
      if (folds.some(({ isTrue }) => !isTrue)) process.exitCode = ExitCode.refused;
    });
}

interface Found {
  readonly memory: number | "all";
  readonly starts: number;
  readonly effect: number;
  readonly isTrue: boolean;
}

function foundOf({ memory, starts, effect, isTrue }: Found): string {
  if (memory === "all") return "ok: claims nothing, and begins at the first row";
  if (starts === 0) return `not measured: needs more than ${memory + 1} rows`;
  const share = Number.isFinite(effect) ? effect.toExponential(1) : "all";
  if (isTrue) return `ok: ${share} of the largest output depends on earlier rows`;
  return `WRONG: ${share} of the largest output depends on earlier rows; memory must be larger, or "all"`;
}
