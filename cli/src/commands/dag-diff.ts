import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import {
  GatewayService,
  type SubmitStrategyRequest,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import type { NodeAssignment } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { Command } from "commander";
import { assignmentsOf } from "../assignments-of.ts";
import { CommandError } from "../exit-codes.ts";
import { printJson, printTable } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type DagSession, withDagSession } from "./dag-target.ts";

interface DiffOptions {
  world?: string;
  export?: string;
  name?: string;
  asOf?: string;
}

/** One node of a graph and the queue it has or would get. */
interface DiffRow {
  readonly nodeId: string;
  readonly worldId: string;
  readonly queue: string;
  readonly computeKey: string;
  /** Undefined where only the counts are known. */
  readonly isKnown: boolean | undefined;
}

interface Outcome {
  readonly strategyId: string;
  /** The same graph was submitted to the same worlds before; undefined where that is not known. */
  readonly isDuplicate: boolean | undefined;
  readonly newNodes: number;
  readonly reusedNodes: number;
  readonly rows: readonly DiffRow[];
}

/** `qmtl dag diff FILE`: what submitting a strategy would do. */
export function addDagDiffCommand(dag: Command): void {
  dag
    .command("diff <file>")
    .description(
      "what submitting a strategy would do: new and reused nodes, queues; stores nothing",
    )
    .option(
      "--world <world>",
      "show the queues it would have in this world, by key (default: only those of its sources)",
    )
    .option("--export <name>", "which export of the file, when there are several")
    .option("--name <name>", "name of the strategy, for a graph in JSON (default: the file's)")
    .option("--as-of <text>", "data snapshot, for a graph in JSON with --world")
    .option("--dry-run", "accepted, without effect: a diff never stores anything")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl dag diff strategy.ts --world demo\n  qmtl dag diff graph.json\n\n" +
        "A .json file holds a qmtl.graph.v1.StrategyGraph in proto3 JSON.",
    )
    .action(
      withDagSession(async (session, file: string, options: DiffOptions) => {
        if (session.target !== undefined && options.world !== undefined)
          throw new CommandError(
            "--world needs the gateway, which knows the stage of the world: leave --target out",
          );
        const request = await requestFor(session, file, options);
        const outcome =
          session.target === undefined
            ? await askGateway(session, request)
            : await askDagManager(session, request);
        print(session, request, outcome);
      }),
    );
}

async function requestFor(
  session: DagSession,
  file: string,
  { world, ...options }: DiffOptions,
): Promise<SubmitStrategyRequest> {
  const worldIds = world === undefined ? [] : [world];
  const { isGraphFile, readGraphFile } = await import("../graph/read-graph.ts");
  if (!isGraphFile(file)) {
    const { name, asOf } = options;
    refuseIdle({ "--name": name, "--as-of": asOf }, "with a strategy file, which has its own");
    // The engine is loaded here, so that no other command pays for it.
    const { loadStrategy } = await import("@qmtl/sdk");
    const { buildSubmission } = await import("@qmtl/sdk/platform");
    const strategy = await loadStrategy(file, options.export);
    // Outside a world no account is meant, and nothing reads the figures of the backtest.
    const asked =
      world === undefined
        ? { worldId: "offline", config: { ...session.config, accounts: {} } }
        : { worldId: world, config: session.config, connection: session };
    const made = await buildSubmission(strategy, asked);
    return { ...made, worldIds, validateOnly: true };
  }
  refuseIdle({ "--export": options.export }, "with a graph in JSON");
  if (world === undefined) refuseIdle({ "--as-of": options.asOf }, "without --world");
  const graph = readGraphFile(file);
  if (world !== undefined && options.asOf === undefined)
    throw new CommandError(
      "a graph in JSON does not name its data: give --as-of with --world",
      undefined,
      "a strategy file knows its data: `qmtl dag diff strategy.ts --world W`",
    );
  return create(SubmitStrategyRequestSchema, {
    strategyName: options.name ?? basename(file).replace(/\.json$/i, ""),
    // Nothing is stored, under any name.
    requestId: randomUUID(),
    graph,
    worldIds,
    asOf: options.asOf ?? "",
    validateOnly: true,
  });
}

async function askGateway(session: DagSession, request: SubmitStrategyRequest): Promise<Outcome> {
  const gateway = session.client(GatewayService);
  const { submission, duplicate } = await gateway.submitStrategy(request, { timeoutMs: 30_000 });
  if (submission === undefined) throw new CommandError("the response contains no submission");
  const { submissionId, strategyId, newNodes, reusedNodes } = submission;
  const known = { strategyId, isDuplicate: duplicate };
  // A repeated submission gets its first report again; once it is completed, none of its nodes is new any more.
  if (!duplicate || !(await isCompleted(session, submissionId))) {
    const { plannedKeys } = await import("../graph/planned-keys.ts");
    const planned = plannedKeys(request.graph!, submission.contexts);
    const rows = planned.map((each) => ({ ...each, queue: "", isKnown: undefined }));
    return { ...known, newNodes, reusedNodes, rows };
  }
  const rows = (await assignmentsOf(gateway, submissionId)).map((each) => rowOf(each, true));
  return { ...known, newNodes: 0, reusedNodes: newNodes + reusedNodes, rows };
}

function rowOf({ queue }: NodeAssignment, isKnown: boolean): DiffRow {
  return {
    nodeId: queue?.nodeId ?? "",
    worldId: queue?.context?.worldId ?? "",
    queue: queue?.queue ?? "",
    computeKey: queue?.computeKey ?? "",
    isKnown,
  };
}

async function isCompleted(session: DagSession, submissionId: string): Promise<boolean> {
  const { submission } = await session.client(GatewayService).getSubmission({ submissionId });
  return submission?.state === SubmissionState.COMPLETED;
}

async function askDagManager(
  session: DagSession,
  { graph, strategyName }: SubmitStrategyRequest,
): Promise<Outcome> {
  const assignments: NodeAssignment[] = [];
  const request = {
    strategyId: strategyName,
    validateOnly: true,
    ...(graph === undefined ? {} : { graph }),
  };
  const answers = session.dagClient(DiffService).diff(request, { timeoutMs: 30_000 });
  for await (const answer of answers) assignments.push(...answer.assignments);
  const rows = assignments.map((each) => rowOf(each, each.nodeReused));
  const known = new Map(rows.map(({ nodeId, isKnown }) => [nodeId, isKnown]));
  const reusedNodes = [...known.values()].filter(Boolean).length;
  const newNodes = known.size - reusedNodes;
  return { strategyId: "", isDuplicate: undefined, newNodes, reusedNodes, rows };
}

function print(session: DagSession, request: SubmitStrategyRequest, outcome: Outcome): void {
  const names = new Map(request.graph?.nodes.map(({ nodeId, name }) => [nodeId, name]));
  const nameOf = (nodeId: string): string => names.get(nodeId) || nodeId;
  const { rows, newNodes, reusedNodes } = outcome;
  if (session.asJson) {
    printJson({
      strategy: request.strategyName,
      strategy_id: outcome.strategyId,
      world_id: request.worldIds[0] ?? "",
      ...(outcome.isDuplicate === undefined ? {} : { duplicate: outcome.isDuplicate }),
      nodes: request.graph?.nodes.length ?? 0,
      new_nodes: newNodes,
      reused_nodes: reusedNodes,
      queues: rows.map(({ nodeId, worldId, queue, computeKey, isKnown }) => ({
        node: nameOf(nodeId),
        node_id: nodeId,
        world_id: worldId,
        ...(queue === "" ? {} : { queue }),
        compute_key: computeKey,
        ...(isKnown === undefined ? {} : { reused: isKnown }),
      })),
    });
    return;
  }
  const id = outcome.strategyId === "" ? "" : ` (${outcome.strategyId})`;
  const before = outcome.isDuplicate === true ? "; submitted before" : "";
  console.log(
    `${request.strategyName}${id}: ${newNodes} new nodes, ${reusedNodes} reused${before}; nothing was stored`,
  );
  printTable(
    ["node", "queue or key", "world", "new"],
    rows.map((row) => [
      nameOf(row.nodeId),
      row.queue || row.computeKey,
      row.worldId || "(all)",
      newText(row),
    ]),
  );
}

function newText({ isKnown }: DiffRow): string {
  if (isKnown === undefined) return "-";
  return isKnown ? "" : "yes";
}
