import type { JsonValue } from "@bufbuild/protobuf";
import {
  type RebalancePlan,
  RebalancePlanSchema,
  RebalancingService,
  UpsertAllocationsResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { messageFromJson, readJsonFile } from "../input-file.ts";
import { jsonOf } from "../json-of.ts";
import { printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";
import { printAllocations } from "./rebalance-allocations.ts";
import { addSchemaVersionOption, worldOption } from "./rebalance-options.ts";
import { previewRebalance } from "./rebalance-plan.ts";

interface ApplyOptions {
  file?: string;
  account?: string;
  world?: string[];
  run: string;
  schemaVersion: string;
}

/** `qmtl rebalance apply`: stores the allocations of a plan. */
export function addRebalanceApplyCommand(group: Command): void {
  addSchemaVersionOption(
    group
      .command("apply")
      .description("store the allocations of a plan and tell watchers; sends no orders")
      .option("--file <file>", "the plan, as `qmtl rebalance plan --json` printed it")
      .option("--account <account>", "or plan now, with this account's own books")
      .addOption(worldOption())
      .requiredOption("--run <id>", "idempotency key: the same one stores once"),
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
          throw new CommandError(`${planId || "the plan"} leads to no allocations`);
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
    throw new CommandError("say --file, or --account and --world");
  if (file !== undefined) return messageFromJson(RebalancePlanSchema, planIn(file), file);
  const { plan } = await previewRebalance(session, {
    account: account ?? "",
    world: world ?? [],
    schemaVersion,
  });
  if (plan === undefined) throw new CommandError("the answer holds no plan");
  return plan;
}

/** A plan alone, or the answer that holds it. */
function planIn(file: string): JsonValue {
  const json = readJsonFile(file);
  const isAnswer = typeof json === "object" && json !== null && !Array.isArray(json);
  return (isAnswer ? json.plan : undefined) ?? json;
}
