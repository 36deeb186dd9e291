import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  EdgeOverrideSchema,
  NodeStatus,
  WorldNodeSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type Command, Option } from "commander";
import { CommandError } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";

const DOMAINS: Readonly<Record<string, ExecutionDomain>> = {
  backtest: ExecutionDomain.BACKTEST,
  dryrun: ExecutionDomain.DRYRUN,
  live: ExecutionDomain.LIVE,
};
const STATUSES: Readonly<Record<string, NodeStatus>> = {
  unknown: NodeStatus.UNKNOWN,
  validating: NodeStatus.VALIDATING,
  valid: NodeStatus.VALID,
  invalid: NodeStatus.INVALID,
  running: NodeStatus.RUNNING,
  paused: NodeStatus.PAUSED,
  stopped: NodeStatus.STOPPED,
  archived: NodeStatus.ARCHIVED,
};

/** `qmtl world nodes|set-node|edges|set-edge`: a world's view of the global strategy graph. */
export function addViewCommands(world: Command): void {
  addNodeCommands(world);
  addEdgeCommands(world);
}

function addNodeCommands(world: Command): void {
  world
    .command("nodes <world>")
    .description("states of nodes within a world")
    .addHelpText("after", "\nExample:\n  qmtl world nodes demo")
    .action(
      withSession(async (session, worldId: string) => {
        const service = session.client(WorldService);
        const nodes = await allOf(
          (pageToken) => service.listWorldNodes({ worldId, pageSize: 1000, pageToken }),
          (page) => page.nodes,
        );
        if (session.asJson) return printJson(nodes.map((each) => jsonOf(WorldNodeSchema, each)));
        printTable(
          ["node", "domain", "status", "reason"],
          nodes.map((each) => [
            each.nodeId,
            enumName(ExecutionDomain, each.executionDomain),
            enumName(NodeStatus, each.status),
            each.reason,
          ]),
        );
      }),
    );

  world
    .command("set-node <world> <node>")
    .description("set the state of a node within a world")
    .addOption(
      new Option("--status <status>", "its state")
        .choices(Object.keys(STATUSES))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--domain <domain>", "execution domain")
        .choices(Object.keys(DOMAINS))
        .default("backtest"),
    )
    .option("--reason <text>", "why", "")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world set-node demo blake3:0123 --status invalid --reason 'bad data'",
    )
    .action(
      withSession(
        async (
          session,
          worldId: string,
          nodeId: string,
          { status, domain, reason }: { status: string; domain: string; reason: string },
        ) => {
          const executionDomain = DOMAINS[domain]!;
          const { node } = await session.client(WorldService).upsertWorldNode({
            node: { worldId, nodeId, executionDomain, status: STATUSES[status]!, reason },
          });
          if (!node) throw new CommandError("the response contains no node");
          if (session.asJson) return printJson(jsonOf(WorldNodeSchema, node));
          console.log(
            `${nodeId} is ${enumName(NodeStatus, node.status)} in ${worldId} (${domain})`,
          );
        },
      ),
    );
}

function addEdgeCommands(world: Command): void {
  world
    .command("edges <world>")
    .description("edges of a world's view that are cut or opened")
    .addHelpText("after", "\nExample:\n  qmtl world edges demo")
    .action(
      withSession(async (session, worldId: string) => {
        const service = session.client(WorldService);
        const edges = await allOf(
          (pageToken) => service.listEdgeOverrides({ worldId, pageSize: 1000, pageToken }),
          (page) => page.edges,
        );
        if (session.asJson) return printJson(edges.map((each) => jsonOf(EdgeOverrideSchema, each)));
        printTable(
          ["from", "to", "data", "reason"],
          edges.map((each) => [
            each.source,
            each.target,
            each.active ? "flow" : "are cut",
            each.reason,
          ]),
        );
      }),
    );

  world
    .command("set-edge <world> <from> <to>")
    .description("let data flow over an edge of a world's view, or cut it")
    .option("--open", "let data flow")
    .option("--cut", "let nothing pass")
    .requiredOption("--reason <text>", "reason; kept in the audit")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world set-edge demo domain:backtest domain:live --cut --reason isolate",
    )
    .action(
      withSession(
        async (
          session,
          worldId: string,
          source: string,
          target: string,
          { open, cut, reason }: { open?: boolean; cut?: boolean; reason: string },
        ) => {
          if ((open === true) === (cut === true))
            throw new CommandError("give either --open or --cut");
          const { edge } = await session.client(WorldService).upsertEdgeOverride({
            edge: { worldId, source, target, active: open === true, reason },
          });
          if (!edge) throw new CommandError("the response contains no edge");
          if (session.asJson) return printJson(jsonOf(EdgeOverrideSchema, edge));
          console.log(`${source} -> ${target} is ${edge.active ? "open" : "cut"} in ${worldId}`);
        },
      ),
    );
}
