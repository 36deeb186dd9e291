import {
  type Allocation,
  AllocationSchema,
  RebalancingService,
  UpsertAllocationsResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import type { Command } from "commander";
import { jsonOf } from "../json-of.ts";
import { pagesOf } from "../pages-of.ts";
import { printJson } from "../print.ts";
import { withSession } from "../session.ts";
import { allocationsFrom, worldOption } from "./rebalance-options.ts";

/** `qmtl rebalance allocate|allocations`: shares that stand, and setting them without trading. */
export function addAllocationCommands(group: Command): void {
  group
    .command("allocate")
    .description(
      "set allocations without trading; they count from the next change of stage or rebalance",
    )
    .addOption(worldOption().makeOptionMandatory())
    .requiredOption("--run <id>", "idempotency key")
    .option("--reason <text>", "why; audited", "allocated by the operator")
    .addHelpText(
      "after",
      "\nUntil a share is set, the strategies of a world have equal parts of it. Strategies that are not named keep the share in\nforce; the call is refused when they would have more than 1 together.\n\n" +
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
    .description("allocations that stand, by world")
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

/** One line a world. */
export function printAllocations(allocations: readonly Allocation[]): void {
  for (const { worldId, ratio, strategies } of allocations) {
    const shares = strategies
      .map((one) => `${one.strategyId} ${Number(one.share.toFixed(6))}`)
      .join(", ");
    console.log(`${worldId}: ${ratio} of equity${shares ? ` (${shares})` : ""}`);
  }
}
