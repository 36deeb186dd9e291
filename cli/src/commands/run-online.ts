import { dirname, resolve } from "node:path";
import {
  loadStrategy,
  type OnlineEvent,
  type OnlineSession,
  Runner,
  type RunStatus,
  StrategyRunError,
  type WorkerOptions,
} from "@qmtl/sdk";
import { checkVersions } from "../checks/check-versions.ts";
import { isoTime, printJson } from "../print.ts";
import type { CommandSession } from "../session.ts";
import { untilStopped } from "../until-stopped.ts";
import { RunProblems } from "./run-problems.ts";

export interface OnlineCommandOptions {
  export?: string;
  record?: string;
}

/** `qmtl run FILE --world W`: a runner in a world, until the data ends or somebody stops it. */
export async function runOnline(
  session: CommandSession,
  file: string,
  worldId: string,
  options: OnlineCommandOptions,
): Promise<void> {
  const strategy = await loadStrategy(file, options.export);
  refuseConflict(file);
  const { record } = options;
  const run = await runToEnd(session, worldId, (how) =>
    Runner.run(strategy, record === undefined ? how : { ...how, record }),
  );
  printStatus(session, run.status());
  if (record !== undefined && !session.asJson) console.log(`record: ${record}`);
}

/** Starts a run, tells what happens in it, and stops it when its data end or somebody asks for it. */
export async function runToEnd<Run extends Omit<OnlineSession, "status">>(
  session: CommandSession,
  worldId: string,
  start: (how: WorkerOptions) => Promise<Run>,
): Promise<Run> {
  const apiKey = process.env.QMTL_API_KEY;
  const problems = new RunProblems({ asJson: session.asJson });
  let sessionId = (): string | undefined => undefined;
  const run = await start({
    worldId,
    config: session.config,
    gatewayUrl: session.gatewayUrl,
    onEvent: (event) => printEvent(session, event, sessionId()),
    onProblem: (problem) => problems.report(problem),
    ...(apiKey === undefined ? {} : { apiKey }),
  });
  sessionId = () => run.sessionId;
  if (session.asJson) printJson({ event: "started" });
  try {
    await Promise.race([run.done, untilStopped()]);
    await run.stop();
  } finally {
    problems.end();
  }
  return run;
}

/** Refuses packages that do not fit together: they would fail much later, with errors that name everything but that. */
export function refuseConflict(file: string): void {
  const { status, detail, fix } = checkVersions(dirname(resolve(file)));
  if (status !== "error") return;
  throw new StrategyRunError("DEPENDENCY_CONFLICT", `${detail}; ${fix}`);
}

/**
 * Prints an event, with the strategy that it happened to in a worker; that of the submission with the session id, which
 * the gateway has assigned by then.
 */
function printEvent(
  session: CommandSession,
  { kind, message, row, strategy }: OnlineEvent,
  sessionId: string | undefined,
): void {
  const named = kind === "submitted" ? { session_id: sessionId } : {};
  if (session.asJson) printJson({ event: kind, strategy, message, row, ...named });
  else {
    const who = strategy === undefined ? "" : `${strategy}: `;
    const where = row === undefined ? "" : `  (row ${row})`;
    console.log(`${kind.padEnd(14)} ${who}${message}${where}`);
  }
}

function printStatus(session: CommandSession, status: RunStatus): void {
  if (session.asJson) {
    printJson({ event: "status", ...status });
    return;
  }
  printConnection(status);
  console.log(`ended at ${endText(status)}`);
  printEvaluations(status);
}

/** Says what is wrong with the connection, if anything is. */
export function printConnection({ connection }: Pick<RunStatus, "connection">): void {
  const { state, sinceMs, problem } = connection;
  if (state !== "connected")
    console.log(`${state.replaceAll("_", " ")} since ${isoTime(sinceMs)}: ${problem}`);
}

/** Where a strategy stood at the end, and its orders. */
export function endText(status: Pick<RunStatus, "row" | "sentOrders" | "wantedOrders">): string {
  const { row, sentOrders, wantedOrders } = status;
  return `row ${row}: ${sentOrders} orders sent, ${wantedOrders} wanted while the gate was shut`;
}

export function printEvaluations({ evaluations }: Pick<RunStatus, "evaluations">): void {
  const { shared, own, warmup, swap } = evaluations;
  console.log(
    `evaluations: ${shared} shared, ${own} own, ${warmup} warm-up, ${swap} in both contexts during a switch`,
  );
}
