import { loadStrategy, type OfflineResult, Runner } from "@qmtl/sdk";
import { printJson } from "../print.ts";
import { progressBar } from "../progress-bar.ts";
import type { CommandSession } from "../session.ts";
import { RunProblems } from "./run-problems.ts";

export interface OfflineCommandOptions {
  export?: string;
  from?: string;
  until?: string;
  noCosts?: boolean;
  report?: string;
}

/** `qmtl run FILE --offline`: a backtest on the files of the configuration, with no server. */
export async function runOffline(
  session: CommandSession,
  file: string,
  options: OfflineCommandOptions,
): Promise<void> {
  const strategy = await loadStrategy(file, options.export);
  const bar = progressBar("computing");
  const problems = new RunProblems({ asJson: session.asJson });
  const result = await Runner.offline(strategy, {
    config: session.config,
    noCosts: options.noCosts === true,
    onProgress: session.asJson ? () => {} : bar.update,
    onProblem: (problem) => problems.tell(problem),
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(options.until === undefined ? {} : { until: options.until }),
    ...(options.report === undefined ? {} : { report: options.report }),
  });
  bar.end();
  if (session.asJson) printJson(summaryOf(result));
  else printResult(result, options.report);
}

function summaryOf(result: OfflineResult): Record<string, unknown> {
  return {
    strategy: result.strategyName,
    nodes: result.nodes,
    metrics: Object.fromEntries(result.metrics),
    samples: result.returns.samples,
    orders: result.orders.length,
    fills: result.fills.length,
    costs: result.costs,
    turnover: result.turnover,
    dataset_fingerprint: result.datasetFingerprint,
    facts: result.facts,
  };
}

function printResult(result: OfflineResult, report: string | undefined): void {
  console.log(
    `${result.strategyName}: ${result.returns.samples} returns, ${result.orders.length} orders`,
  );
  for (const [name, value] of result.metrics)
    console.log(`  ${name.padEnd(28)} ${value.toPrecision(6)}`);
  for (const fact of result.facts) console.log(`  note: ${fact}`);
  if (report !== undefined) console.log(`report: ${report}`);
}
