import {
  HaltResponseSchema,
  HaltScope,
  OrderService,
  ResumeResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { printJson } from "../print.ts";
import { withSession } from "../session.ts";

/** `qmtl halt` and `qmtl resume`: stop the router, and let it go on. */
export function addHaltCommands(program: Command): void {
  program
    .command("halt")
    .description("stop orders; works with the other services down; survives restarts")
    .option("--account <account>", "only an account")
    .option("--world <world>", "only a world")
    .option("--strategy <id>", "only a strategy")
    .requiredOption("--reason <text>", "why; kept in the journal")
    .option("--cancel", "cancel working opening orders")
    .option("--flatten", "close positions with reduce-only orders")
    .addHelpText("after", "\nExample:\n  qmtl halt --world demo --reason 'bad feed' --cancel")
    .action(
      withSession(
        async (
          session,
          options: {
            account?: string;
            world?: string;
            strategy?: string;
            reason: string;
            cancel?: boolean;
            flatten?: boolean;
          },
        ) => {
          const answer = await session.client(OrderService).halt({
            ...haltScope(options),
            reason: options.reason,
            cancel: options.cancel === true,
            flatten: options.flatten === true,
          });
          if (session.asJson) return printJson(jsonOf(HaltResponseSchema, answer));
          console.log(
            `halted; ${answer.cancelled.length} orders cancelled, the last after ${answer.elapsedMs.toFixed(1)} ms; ${answer.flattened.length} sent to flatten`,
          );
        },
      ),
    );

  program
    .command("resume")
    .description("clear a halt; orders that catch up with the targets leave at once")
    .addHelpText("after", "\nExample:\n  qmtl resume --world demo --reason 'feed is good'")
    .option("--account <account>", "only an account")
    .option("--world <world>", "only a world")
    .option("--strategy <id>", "only a strategy")
    .requiredOption("--reason <text>", "why; kept in the journal")
    .action(
      withSession(
        async (
          session,
          options: { account?: string; world?: string; strategy?: string; reason: string },
        ) => {
          const answer = await session
            .client(OrderService)
            .resume({ ...haltScope(options), reason: options.reason });
          if (session.asJson) return printJson(jsonOf(ResumeResponseSchema, answer));
          console.log(`resumed; ${answer.clientOrderIds.length} catch-up orders sent`);
        },
      ),
    );
}

function haltScope(target: { account?: string; world?: string; strategy?: string }): {
  scope: HaltScope;
  target: string;
} {
  const given = [target.account, target.world, target.strategy].filter(
    (each) => each !== undefined,
  );
  if (given.length > 1)
    throw new CommandError("name one of --account, --world, --strategy, or none for everything");
  if (target.account !== undefined) return { scope: HaltScope.ACCOUNT, target: target.account };
  if (target.world !== undefined) return { scope: HaltScope.WORLD, target: target.world };
  if (target.strategy !== undefined) return { scope: HaltScope.STRATEGY, target: target.strategy };
  return { scope: HaltScope.ALL, target: "" };
}
