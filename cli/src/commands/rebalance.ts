import {
  ExecuteRebalanceResponseSchema,
  RebalancingExecutionService,
} from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import {
  RebalancingService,
  UpsertAllocationsResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { jsonOf, printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

interface RebalanceOptions {
  account: string;
  world: string[];
  batch?: string;
  reason?: string;
}

/** `demo=0.9:trend=0.5,swing=0.5` → the allocation of a world. */
async function allocationFromText(
  session: CommandSession,
  text: string,
): Promise<{
  worldId: string;
  ratio: number;
  strategies: { strategyId: string; share: number }[];
}> {
  const found = /^([^=]+)=([0-9.]+)(?::(.+))?$/.exec(text);
  if (!found) throw new CommandError(`${text}: write WORLD=RATIO or WORLD=RATIO:STRATEGY=SHARE,…`);
  const [, worldId = "", ratio = "", shares = ""] = found;
  const strategies = await Promise.all(
    shares
      .split(",")
      .filter((each) => each !== "")
      .map(async (each) => {
        const [name = "", share = ""] = each.split("=");
        return { strategyId: await session.strategyId(worldId, name), share: Number(share) };
      }),
  );
  return { worldId, ratio: Number(ratio), strategies };
}

async function rebalance(
  session: CommandSession,
  options: RebalanceOptions,
  submit: boolean,
): Promise<void> {
  const allocations = await Promise.all(
    options.world.map((text) => allocationFromText(session, text)),
  );
  const batchId =
    options.batch ?? `plan-${allocations.map((each) => `${each.worldId}-${each.ratio}`).join("-")}`;
  const answer = await session.client(RebalancingExecutionService).executeRebalance({
    batchId,
    accountId: options.account,
    allocations,
    submit,
    perStrategy: true,
    reason: options.reason ?? "",
  });
  if (session.asJson) return printJson(jsonOf(ExecuteRebalanceResponseSchema, answer));
  printTable(
    ["strategy", "instrument", "change"],
    (answer.plan?.deltas ?? []).map((each) => [
      each.strategyId || "(net)",
      each.instrument,
      each.quantity?.value ?? "",
    ]),
  );
  for (const cross of answer.crosses)
    console.log(
      `crossed inside: ${cross.quantity?.value} ${cross.instrument} at ${cross.price?.value}, ${cross.sellerStrategyId} to ${cross.buyerStrategyId}`,
    );
  for (const order of answer.orders)
    console.log(
      `outside: ${order.quantity?.value} ${order.instrument}${order.clientOrderId ? ` as ${order.clientOrderId}` : ""}`,
    );
  console.log(
    answer.duplicate
      ? "this batch was executed before"
      : answer.submitted
        ? `executed; costs saved by crossing: ${answer.costsSaved?.value}`
        : "dry run; nothing was sent",
  );
}

/** `qmtl rebalance plan|execute`: move capital between worlds and strategies. */
export function addRebalanceCommands(program: Command): void {
  const group = program
    .command("rebalance")
    .description("move capital between worlds and strategies");
  const collect = (value: string, before: string[] = []): string[] => [...before, value];
  const example =
    "\nExample:\n  qmtl rebalance plan --account paper --world demo=0.9:trend=0.5,swing=0.5";

  group
    .command("allocate")
    .description(
      "set allocations without trading; they count from the next change of stage or rebalance",
    )
    .requiredOption(
      "--world <allocation>",
      "WORLD=RATIO:STRATEGY=SHARE,…; may be repeated",
      collect,
    )
    .requiredOption("--run <id>", "idempotency key")
    .option("--reason <text>", "why; audited")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl rebalance allocate --world demo=0.9:trend=0.5,swing=0.5 --run first",
    )
    .action(
      withSession(async (session, options: { world: string[]; run: string; reason?: string }) => {
        const allocations = await Promise.all(
          options.world.map((text) => allocationFromText(session, text)),
        );
        const answer = await session
          .client(RebalancingService)
          .upsertAllocations({ runId: options.run, allocations, reason: options.reason ?? "" });
        if (session.asJson) {
          printJson(jsonOf(UpsertAllocationsResponseSchema, answer));
          return;
        }
        for (const each of answer.allocations) {
          const shares = each.strategies.map((one) => `${one.strategyId} ${one.share}`).join(", ");
          console.log(`${each.worldId}: ${each.ratio} of equity${shares ? ` (${shares})` : ""}`);
        }
      }),
    );

  group
    .command("plan")
    .description("show what a change of allocation would do, with the account's own books")
    .requiredOption("--account <account>", "account")
    .requiredOption(
      "--world <allocation>",
      "WORLD=RATIO or WORLD=RATIO:STRATEGY=SHARE,…; may be repeated",
      collect,
    )
    .addHelpText("after", example)
    .action(
      withSession((session, options: RebalanceOptions) => rebalance(session, options, false)),
    );

  group
    .command("execute")
    .description("do it, once per batch id")
    .requiredOption("--account <account>", "account")
    .requiredOption(
      "--world <allocation>",
      "WORLD=RATIO or WORLD=RATIO:STRATEGY=SHARE,…; may be repeated",
      collect,
    )
    .requiredOption("--batch <id>", "executed once, whatever is sent again")
    .option("--reason <text>", "why; kept in the journal")
    .addHelpText("after", example.replace("plan", "execute --batch move-1"))
    .action(withSession((session, options: RebalanceOptions) => rebalance(session, options, true)));
}
