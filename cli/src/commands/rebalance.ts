import type { JsonValue } from "@bufbuild/protobuf";
import {
  type Allocation,
  AllocationSchema,
  type RebalancePlan,
  RebalancePlanSchema,
  RebalancingService,
  UpsertAllocationsResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { messageFromJson, readJsonFile } from "../input-file.ts";
import { jsonOf } from "../json-of.ts";
import { pagesOf } from "../pages-of.ts";
import { printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";
import { addSchemaVersionOption, allocationsFrom, worldOption } from "./rebalance-options.ts";
import { addRebalancePlanCommands, previewRebalance } from "./rebalance-plan.ts";

/** `qmtl rebalance …`: move capital between worlds and strategies. */
export function addRebalanceCommands(program: Command): void {
  const group = program
    .command("rebalance")
    .description("move capital between worlds and strategies");
  addAllocationCommands(group);
  addRebalancePlanCommands(group);
  addRebalanceApplyCommand(group);
}

interface ApplyOptions {
  file?: string;
  account?: string;
  world?: string[];
  run: string;
  schemaVersion: string;
}

/** `qmtl rebalance apply`: stores the allocations of a plan. */
function addRebalanceApplyCommand(group: Command): void {
  addSchemaVersionOption(
    group
      .command("apply")
      .description("store the allocations of a plan and notify watchers; sends no orders")
      .option("--file <file>", "the plan, as `qmtl rebalance plan --json` printed it")
      .option("--account <account>", "or plan now, with this account's own books")
      .addOption(worldOption())
      .requiredOption("--run <id>", "idempotency key: the same key stores only once"),
  )
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl rebalance apply --file plan.json --run move-1\n" +
        "  qmtl rebalance apply --account paper --world demo=0.9:trend=0.5,swing=0.5 --run move-1",
    )
    .action(
      withSession(async (session, options: ApplyOptions) => {
        const plan = await planOf(session, options);
        const { planId } = plan;
        if (plan.allocations.length === 0)
          throw new CommandError(`${planId || "the plan"} results in no allocations`);
        const answer = await session.client(RebalancingService).upsertAllocations({
          requestId: options.run,
          allocations: plan.allocations,
          reason: `plan ${planId}`,
        });
        if (session.asJson)
          return printJson({
            plan_id: planId,
            ...(jsonOf(UpsertAllocationsResponseSchema, answer) as object),
          });
        printAllocations(answer.allocations);
        console.log(`the allocations of ${planId} are stored`);
      }),
    );
}

async function planOf(
  session: CommandSession,
  { file, account, world, schemaVersion }: ApplyOptions,
): Promise<RebalancePlan> {
  if (file !== undefined) refuseIdle({ "--account": account, "--world": world }, "with --file");
  const isNow = account !== undefined && world !== undefined;
  if ((file === undefined) !== isNow)
    throw new CommandError("give --file, or --account and --world");
  if (file !== undefined) return messageFromJson(RebalancePlanSchema, planIn(file), file);
  const { plan } = await previewRebalance(session, {
    account: account ?? "",
    world: world ?? [],
    schemaVersion,
  });
  if (plan === undefined) throw new CommandError("the response contains no plan");
  return plan;
}

/** The plan in a file: its whole content, or the `plan` field of a printed response. */
function planIn(file: string): JsonValue {
  const json = readJsonFile(file);
  const isAnswer = typeof json === "object" && json !== null && !Array.isArray(json);
  return (isAnswer ? json.plan : undefined) ?? json;
}

/** `qmtl rebalance allocate|allocations`: shows the shares in force, and sets them without trading. */
function addAllocationCommands(group: Command): void {
  group
    .command("allocate")
    .description(
      "set allocations without trading; they take effect at the next change of stage or rebalance",
    )
    .addOption(worldOption().makeOptionMandatory())
    .requiredOption("--run <id>", "idempotency key")
    .option("--reason <text>", "reason; kept in the audit", "allocated by the operator")
    .addHelpText(
      "after",
      "\nUntil shares are set, the strategies of a world have equal shares. Strategies that are not named keep their share;\nthe call is refused if all shares together would exceed 1.\n\n" +
        "Example:\n  qmtl rebalance allocate --world demo=0.9:trend=0.5,swing=0.5 --run first",
    )
    .action(
      withSession(async (session, options: { world: string[]; run: string; reason: string }) => {
        const allocations = await allocationsFrom(session, options.world);
        const answer = await session
          .client(RebalancingService)
          .upsertAllocations({ requestId: options.run, allocations, reason: options.reason });
        if (session.asJson) return printJson(jsonOf(UpsertAllocationsResponseSchema, answer));
        printAllocations(answer.allocations);
      }),
    );

  group
    .command("allocations")
    .description("allocations in force, by world")
    .option("--world <world>", "only of a world", "")
    .addHelpText("after", "\nExample:\n  qmtl rebalance allocations --world demo")
    .action(
      withSession(async (session, { world: worldId }: { world: string }) => {
        const service = session.client(RebalancingService);
        const allocations: Allocation[] = [];
        let etag = "";
        for await (const page of pagesOf((pageToken) =>
          service.listAllocations({ worldId, pageSize: 1000, pageToken }),
        )) {
          allocations.push(...page.allocations);
          etag = page.etag;
        }
        if (session.asJson)
          return printJson({
            allocations: allocations.map((each) => jsonOf(AllocationSchema, each)),
            etag,
          });
        if (allocations.length === 0) console.log("(none)");
        printAllocations(allocations);
      }),
    );
}

/** One line per world. */
function printAllocations(allocations: readonly Allocation[]): void {
  for (const { worldId, ratio, strategies } of allocations) {
    const shares = strategies
      .map((one) => `${one.strategyId} ${Number(one.share.toFixed(6))}`)
      .join(", ");
    console.log(`${worldId}: ${ratio} of equity${shares ? ` (${shares})` : ""}`);
  }
}
