import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { type Halt, HaltSchema, type ShutWorld } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import type { Command } from "commander";
import { type HaltScope, haltedText, haltTarget } from "../halt-scope.ts";
import { shutLine } from "../halts-of-world.ts";
import { jsonOf } from "../json-of.ts";
import { pagesOf } from "../pages-of.ts";
import { printJson, printNote, printTable, timeText } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

/** `qmtl halts`: what is stopped, why and by whom. */
export function addHaltsCommand(program: Command): void {
  program
    .command("halts")
    .description("halts in force, oldest first")
    .option("--account <account>", "only those that cover an account")
    .option("--world <world>", "only those that cover a world")
    .option("--strategy <id>", "only those that cover a strategy")
    .addHelpText("after", "\nExample:\n  qmtl halts --world demo")
    .action(withSession(listHalts));
}

async function listHalts(session: CommandSession, options: HaltScope): Promise<void> {
  const { account, world, strategy } = options;
  const isNarrowed = (account ?? world ?? strategy) !== undefined;
  const asked = { pageSize: 1000, ...(isNarrowed ? { covering: haltTarget(options) } : {}) };
  const service = session.client(OrderService);
  const halts: Halt[] = [];
  const shut: ShutWorld[] = [];
  for await (const page of pagesOf((pageToken) => service.listHalts({ ...asked, pageToken }))) {
    halts.push(...page.halts);
    shut.push(...page.shutWorlds);
  }
  for (const each of shut) printNote(`world ${each.worldId} is ${shutLine(each)}`, session.asJson);
  if (session.asJson) return printJson(halts.map((each) => jsonOf(HaltSchema, each)));
  printTable(
    ["halt", "of", "since", "by", "stored", "reason"],
    halts.map((each) => [
      each.haltId,
      haltedText(each),
      timeText(each.createTime),
      each.principal,
      each.stored ? "yes" : "not yet",
      each.reason,
    ]),
  );
}
