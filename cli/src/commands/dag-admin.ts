import {
  DiffService,
  RedoDiffResponseSchema,
} from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import {
  CollectGarbageResponseSchema,
  GraphAdminService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/graph_admin_service_pb";
import type { StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import type { Command } from "commander";
import { CommandError, ExitCode, RefusalError } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { printJson, printTable } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { writeWhole } from "../write-whole.ts";
import { type DagSession, withDagSession } from "./dag-target.ts";

interface RedoOptions {
  sentinel: string;
  file: string;
  world: string;
  export?: string;
}

/** `qmtl dag gc|redo|export`: care of the global graph, done by the DAG Manager itself. */
export function addDagAdminCommands(dag: Command): void {
  dag
    .command("gc")
    .description("drop queues that nobody uses past their time")
    .option("--dry-run", "show what would go")
    .option("--yes", "drop them; what is dropped does not come back")
    .option("--sentinel <id>", "only queues of one submission")
    .addHelpText("after", "\nExamples:\n  qmtl dag gc --dry-run\n  qmtl dag gc --yes")
    .action(withDagSession(collectGarbage));

  dag
    .command("redo")
    .description("run the diff of a submission again under its sentinel")
    .requiredOption("--sentinel <id>", "sentinel of the submission")
    .requiredOption("--file <file>", "a strategy, or a StrategyGraph in JSON (.json)")
    .option("--world <world>", "world the strategy is declared for", "offline")
    .option("--export <name>", "which export of the file, when there are several")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl dag redo --sentinel sub-0123456789abcdef-sentinel --file strategy.ts",
    )
    .action(withDagSession(redo));

  dag
    .command("export")
    .description("the schema of the DAG Manager's store, as SQL")
    .option("--out <file>", "write it to a file")
    .option("--force", "write over a file that is there")
    .addHelpText("after", "\nExample:\n  qmtl dag export --out schema.sql")
    .action(
      withDagSession(async (session, options: { out?: string; force?: boolean }) => {
        if (options.out === undefined) refuseIdle({ "--force": options.force }, "without --out");
        const { sql } = await session.dagClient(GraphAdminService).exportSchema({});
        if (options.out !== undefined) writeWhole(options.out, sql, options.force === true);
        if (session.asJson) return printJson(options.out === undefined ? { sql } : options);
        console.log(options.out === undefined ? sql : `schema written to ${options.out}`);
      }),
    );
}

async function collectGarbage(
  session: DagSession,
  options: { dryRun?: boolean; yes?: boolean; sentinel?: string },
): Promise<void> {
  if ((options.dryRun === true) === (options.yes === true))
    throw new CommandError("say --dry-run to see what would go, or --yes to drop it");
  // A filter the contract cannot carry must not be lost on the way: it would drop what was not meant.
  if (options.sentinel !== undefined)
    throw new RefusalError(
      "collecting the garbage of one sentinel is not built: the contract has it for the whole graph only",
      ExitCode.notBuilt,
      "leave --sentinel out; `qmtl dag gc --dry-run` shows what would go",
      "FEATURE_NOT_BUILT",
    );
  const validateOnly = options.dryRun === true;
  const answer = await session.dagClient(GraphAdminService).collectGarbage({ validateOnly });
  if (session.asJson) return printJson(jsonOf(CollectGarbageResponseSchema, answer));
  for (const queue of answer.queues) console.log(queue);
  console.log(`${answer.queues.length} queues ${validateOnly ? "would go" : "dropped"}`);
}

async function redo(session: DagSession, { sentinel, file, ...how }: RedoOptions): Promise<void> {
  const graph = await graphOf(session, file, how);
  const answer = await session
    .dagClient(DiffService)
    .redoDiff({ sentinelId: sentinel, graph }, { timeoutMs: 30_000 });
  if (session.asJson) return printJson(jsonOf(RedoDiffResponseSchema, answer));
  const names = new Map(graph.nodes.map(({ nodeId, name }) => [nodeId, name]));
  printTable(
    ["node", "queue", "reused"],
    answer.assignments.map(({ nodeId, queue, reused }) => [
      names.get(nodeId) || nodeId,
      queue?.queue ?? "",
      reused ? "yes" : "",
    ]),
  );
}

async function graphOf(
  session: DagSession,
  file: string,
  how: Pick<RedoOptions, "world" | "export">,
): Promise<StrategyGraph> {
  const { isGraphFile, readGraphFile } = await import("../graph/read-graph.ts");
  if (isGraphFile(file)) {
    refuseIdle({ "--export": how.export }, "with a graph in JSON");
    return readGraphFile(file);
  }
  // The engine is loaded here, so that no other command pays for it.
  const { submissionRequest } = await import("../submission-request.ts");
  const { graph } = await submissionRequest(session, file, how);
  if (graph === undefined) throw new CommandError(`${file} makes no graph`);
  return graph;
}
