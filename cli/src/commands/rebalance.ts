import type { Command } from "commander";
import { addAllocationCommands } from "./rebalance-allocations.ts";
import { addRebalanceApplyCommand } from "./rebalance-apply.ts";
import { addRebalancePlanCommands } from "./rebalance-plan.ts";

/** `qmtl rebalance …`: move capital between worlds and strategies. */
export function addRebalanceCommands(program: Command): void {
  const group = program
    .command("rebalance")
    .description("move capital between worlds and strategies");
  addAllocationCommands(group);
  addRebalancePlanCommands(group);
  addRebalanceApplyCommand(group);
}
