import { existsSync } from "node:fs";
import { loadStrategy, Runner, type StrategyClass, type WorkerStatus } from "@qmtl/sdk";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { printJson } from "../print.ts";
import type { CommandSession } from "../session.ts";
import {
  endText,
  printConnection,
  printEvaluations,
  refuseConflict,
  runToEnd,
} from "./run-online.ts";

/** `qmtl worker FILE… --world W`: several runners in one process, until the data ends or somebody stops it. */
export async function runWorker(
  session: CommandSession,
  files: readonly string[],
  worldId: string,
): Promise<void> {
  const strategies: StrategyClass[] = [];
  for (const word of files) strategies.push(await loadNamed(word));
  const worker = await runToEnd(session, worldId, (how) => Runner.worker(strategies, how));
  const status = worker.status();
  printStatus(session, status);
  refuseTakenOut(status);
}

/** Loads the strategy of a file, or the one that is named after a `#`. */
async function loadNamed(word: string): Promise<StrategyClass> {
  const at = existsSync(word) ? -1 : word.lastIndexOf("#");
  const file = at < 0 ? word : word.slice(0, at);
  const strategy = await loadStrategy(file, at < 0 ? undefined : word.slice(at + 1));
  refuseConflict(file);
  return strategy;
}

/** The worker has ended well, but not all its strategies have. */
function refuseTakenOut({ strategies }: WorkerStatus): void {
  const failed = strategies.filter(({ failure }) => failure !== undefined);
  if (failed.length === 0) return;
  const why = failed.map(({ name, failure }) => `${name} (${failure})`).join("; ");
  const message = `${failed.length} of ${strategies.length} strategies were taken out: ${why}`;
  throw new CommandError(message, ExitCode.refused);
}

function printStatus(session: CommandSession, status: WorkerStatus): void {
  if (session.asJson) {
    printJson({ event: "status", ...status });
    return;
  }
  printConnection(status);
  for (const each of status.strategies) {
    const how = each.failure === undefined ? "ended" : "was taken out";
    console.log(`${each.name} ${how} at ${endText(each)}`);
  }
  printEvaluations(status);
}
