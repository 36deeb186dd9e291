import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { Command } from "commander";
import { enumName, printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";
import type { SubmittedStrategy } from "../submit-strategy.ts";

interface SubmitCommandOptions {
  world: string;
  export?: string;
}

/** `qmtl submit FILE --world W`: submits a strategy without running it. */
export function addSubmitCommand(program: Command): void {
  program
    .command("submit <file>")
    .description(
      "submit a strategy without running it: makes queues for its nodes, and its backtest for the policy",
    )
    .requiredOption("--world <world>", "world it is to run in")
    .option("--export <name>", "which export of the file, when there are several")
    .addHelpText("after", "\nExample:\n  qmtl submit strategy.ts --world demo")
    .action(
      withSession(async (session, file: string, options: SubmitCommandOptions) => {
        // The engine is loaded here, so that no other command pays for it.
        const { submitStrategy } = await import("../submit-strategy.ts");
        print(session, await submitStrategy(session, file, options));
      }),
    );
}

function print(session: CommandSession, submitted: SubmittedStrategy): void {
  const { submission, duplicate, nodeNames, assignments } = submitted;
  const state = enumName(SubmissionState, submission.state);
  const queues = assignments.map(({ queue, nodeReused }) => {
    const nodeId = queue?.nodeId ?? "";
    return {
      node: nodeNames.get(nodeId) ?? nodeId,
      node_id: nodeId,
      world_id: queue?.context?.worldId ?? "",
      queue: queue?.queue ?? "",
      compute_key: queue?.computeKey ?? "",
      reused: nodeReused,
    };
  });
  if (session.asJson) {
    printJson({
      submission_id: submission.submissionId,
      strategy_id: submission.strategyId,
      state,
      duplicate,
      new_nodes: submission.newNodes,
      reused_nodes: submission.reusedNodes,
      queues,
    });
    return;
  }
  console.log(
    `submission ${submission.submissionId} ${state}${duplicate ? " (submitted before)" : ""}`,
  );
  console.log(
    `strategy ${submission.strategyId}: ${submission.newNodes} new nodes, ${submission.reusedNodes} reused`,
  );
  printTable(
    ["node", "queue", "world", "reused"],
    queues.map((each) => [
      each.node,
      each.queue,
      each.world_id || "(all)",
      each.reused ? "yes" : "",
    ]),
  );
}
