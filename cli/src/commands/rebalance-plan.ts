import { create } from "@bufbuild/protobuf";
import {
  type ExecuteRebalanceResponse,
  ExecuteRebalanceResponseSchema,
  type PlannedOrder,
  type PreviewRebalanceResponse,
  PreviewRebalanceResponseSchema,
  RebalancingExecutionService,
} from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import { VersionRangeSchema } from "@qmtl/contracts/qmtl/type/v1/schema_version_pb";
import {
  type AlphaMetrics,
  type AlphaMetricsEnvelope,
  type Cross,
  PlanRebalanceRequestSchema,
  PlanRebalanceResponseSchema,
  type PositionDelta,
  RebalanceMode,
  type RebalancePlan,
  RebalancingService,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { messageFromJson, readJsonFile } from "../input-file.ts";
import { jsonOf } from "../json-of.ts";
import { printJson, printNote, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";
import {
  addSchemaVersionOption,
  allocationsFrom,
  schemaRange,
  worldOption,
} from "./rebalance-options.ts";

interface PlanOptions {
  account?: string;
  world?: string[];
  file?: string;
  schemaVersion: string;
}

interface ExecuteOptions {
  account: string;
  world: string[];
  batch: string;
  reason: string;
  schemaVersion: string;
}

/** A change of capital that the gateway is asked about. */
export interface Rebalance {
  readonly account: string;
  readonly world: readonly string[];
  readonly schemaVersion: string;
}

/** `qmtl rebalance plan|execute`. */
export function addRebalancePlanCommands(group: Command): void {
  addSchemaVersionOption(
    group
      .command("plan")
      .description("show what a change of allocations would do; sends and stores nothing")
      .option("--account <account>", "plan from this account's own books, down to its orders")
      .addOption(worldOption())
      .option(
        "--file <file>",
        "plan a PlanRebalanceRequest in proto3 JSON instead: a what-if; its mode is TARGETS unless it names another",
      ),
  )
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl rebalance plan --account paper --world demo=0.9:trend=0.5,swing=0.5\n" +
        "  qmtl rebalance plan --file request.json --schema-version 2",
    )
    .action(
      withSession(async (session, options: PlanOptions) => {
        if (options.file !== undefined) return planFile(session, options.file, options);
        const { account, world, schemaVersion } = options;
        if (account === undefined || world === undefined)
          throw new CommandError("give --account and --world, or --file");
        const answer = await previewRebalance(session, { account, world, schemaVersion });
        noteVersion(session, Number(schemaVersion), answer.schemaVersion?.version, answer.plan);
        if (session.asJson) return printJson(jsonOf(PreviewRebalanceResponseSchema, answer));
        printParts(answer);
        console.log(
          `a preview at account revision ${answer.plan?.accountRevision}; nothing was stored or sent`,
        );
      }),
    );

  addSchemaVersionOption(
    group
      .command("execute")
      .description("carry a rebalance out, once per batch id")
      .requiredOption("--account <account>", "account")
      .addOption(worldOption().makeOptionMandatory())
      .requiredOption(
        "--batch <id>",
        "id of the batch: it is executed once, however often it is sent",
      )
      .requiredOption("--reason <text>", "reason; kept in the journal and the audit"),
  )
    .addHelpText(
      "after",
      "\nExample:\n  qmtl rebalance execute --batch move-1 --account paper --world demo=0.9:trend=0.5,swing=0.5 --reason 'more for both'",
    )
    .action(withSession(execute));
}

/** Asks the gateway, which plans with the account's own books. */
export async function previewRebalance(
  session: CommandSession,
  { account: accountId, world, schemaVersion }: Rebalance,
): Promise<PreviewRebalanceResponse> {
  const allocations = await allocationsFrom(session, world);
  return session.client(RebalancingExecutionService).previewRebalance({
    schemaVersion: schemaRange(schemaVersion),
    order: { accountId, allocations },
    perStrategy: true,
  });
}

async function execute(
  session: CommandSession,
  { account: accountId, world, batch: batchId, reason, schemaVersion }: ExecuteOptions,
): Promise<void> {
  const allocations = await allocationsFrom(session, world);
  const answer = await session.client(RebalancingExecutionService).executeRebalance({
    schemaVersion: schemaRange(schemaVersion),
    batchId,
    order: { accountId, allocations },
    reason,
  });
  noteVersion(session, Number(schemaVersion), answer.schemaVersion?.version, answer.plan);
  if (session.asJson) return printJson(jsonOf(ExecuteRebalanceResponseSchema, answer));
  printParts(answer);
  console.log(
    answer.duplicate
      ? "this batch was executed before"
      : `executed; costs saved by crossing: ${answer.costsSaved?.value}`,
  );
}

/** A what-if plan: the file holds the books, and WorldService plans. */
async function planFile(
  session: CommandSession,
  file: string,
  { account, world, schemaVersion }: PlanOptions,
): Promise<void> {
  if (account !== undefined || world !== undefined)
    throw new CommandError("--file states books and allocations: leave --account and --world out");
  const request = messageFromJson(PlanRebalanceRequestSchema, readJsonFile(file), file);
  if (request.mode === RebalanceMode.UNSPECIFIED) request.mode = RebalanceMode.TARGETS;
  request.schemaVersion ??= create(VersionRangeSchema, schemaRange(schemaVersion));
  const answer = await session.client(RebalancingService).planRebalance(request);
  noteVersion(session, request.schemaVersion.max ?? 1, answer.schemaVersion?.version, answer.plan);
  if (session.asJson) return printJson(jsonOf(PlanRebalanceResponseSchema, answer));
  const { plan } = answer;
  if (plan === undefined) throw new CommandError("the response contains no plan");
  printDeltas("strategy", plan.deltas);
  printDeltas("net", plan.netDeltas);
  printCrosses(plan.crosses);
  printAlphaMetrics(plan.alphaMetrics);
  console.log(`${plan.planId}: a what-if; nothing was stored or sent`);
}

function printParts(answer: PreviewRebalanceResponse | ExecuteRebalanceResponse): void {
  printDeltas("strategy", answer.plan?.deltas ?? []);
  printCrosses(answer.crosses);
  printOrders(answer.orders);
  printAlphaMetrics(answer.plan?.alphaMetrics);
}

/** Notes that the metrics of version 2 were asked for and are missing: worlds would seem to have none. */
function noteVersion(
  { asJson }: CommandSession,
  asked: number,
  answered: number | undefined,
  plan: RebalancePlan | undefined,
): void {
  if (answered !== undefined && answered < asked)
    printNote(
      `answered in schema version ${answered}; version 2 needs world_service.compat_rebalance_v2 and gateway.rebalance_schema_version: 2`,
      asJson,
    );
  else if (asked >= 2 && plan !== undefined && plan.alphaMetrics === undefined)
    printNote("this plan has no alpha metrics; only a plan from a --file has them", asJson);
}

/** Changes of positions, by strategy or net. */
function printDeltas(of: "strategy" | "net", deltas: readonly PositionDelta[]): void {
  printTable(
    [of, "instrument", "change"],
    deltas.map((each) => [
      each.strategyId || each.worldId || "(net)",
      each.instrument,
      each.quantity?.value ?? "",
    ]),
  );
}

/** Trades between strategies, booked without going to the broker. */
function printCrosses(crosses: readonly Cross[]): void {
  for (const cross of crosses)
    console.log(
      `crossed inside: ${cross.quantity?.value} ${cross.instrument} at ${cross.price?.value}, ${cross.sellerStrategyId} to ${cross.buyerStrategyId}`,
    );
}

/** Orders that go to the broker: net for the account, and the same by strategy. */
function printOrders(orders: readonly PlannedOrder[]): void {
  for (const order of orders) {
    const { worldId, strategyId, quantity, instrument, clientOrderId, reduceOnly } = order;
    const of = strategyId || worldId;
    const whose = of === "" ? "net of the account" : `of ${of}`;
    const more = `${reduceOnly ? ", reduce-only" : ""}${clientOrderId ? ` as ${clientOrderId}` : ""}`;
    console.log(`outside, ${whose}: ${quantity?.value} ${instrument}${more}`);
  }
}

/** Alpha metrics by world and by strategy; nothing for an answer of version 1. */
function printAlphaMetrics(envelope: AlphaMetricsEnvelope | undefined): void {
  if (envelope === undefined) return;
  const rows = [...rowsOf("world", envelope.perWorld), ...rowsOf("strategy", envelope.perStrategy)];
  printTable(["alpha metrics of", "name", "metric", "value", "samples"], rows);
}

function rowsOf(kind: string, metrics: Readonly<Record<string, AlphaMetrics>>): string[][] {
  return Object.entries(metrics).flatMap(([name, { values, samples }]) =>
    Object.entries(values)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([metric, value]) => [kind, name, metric, value.toPrecision(6), String(samples)]),
  );
}
