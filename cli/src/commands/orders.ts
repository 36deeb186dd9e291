import {
  AccountService,
  GetAccountResponseSchema,
  JournalEntrySchema,
  ListPositionsResponseSchema,
  ReconcileResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  HaltResponseSchema,
  HaltScope,
  type Order,
  OrderOrigin,
  OrderSchema,
  OrderService,
  OrderState,
  ResumeResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { enumName, jsonOf, printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

interface OrderFilter {
  world?: string;
  account?: string;
  strategy?: string;
  working?: boolean;
}

async function listOrders(session: CommandSession, filter: OrderFilter): Promise<void> {
  const orders: Order[] = [];
  let pageToken = "";
  do {
    const page = await session.client(OrderService).listOrders({
      worldId: filter.world ?? "",
      accountId: filter.account ?? "",
      strategyId: filter.strategy ?? "",
      workingOnly: filter.working === true,
      pageSize: 1000,
      pageToken,
    });
    orders.push(...page.orders);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  if (session.asJson) return printJson(orders.map((order) => jsonOf(OrderSchema, order)));
  printTable(
    ["order", "strategy", "row", "quantity", "filled", "price", "state", "origin", "fence"],
    orders.map((order) => [
      order.clientOrderId,
      order.strategyId,
      String(order.row),
      order.quantity?.value ?? "",
      order.filledQuantity?.value ?? "",
      order.averagePrice?.value ?? "",
      enumName(OrderState, order.state),
      enumName(OrderOrigin, order.origin),
      String(order.fence),
    ]),
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

/** `qmtl orders|positions|account|journal`: what the router has in its books. */
export function addOrderCommands(program: Command): void {
  program
    .command("orders")
    .description("orders of the journal, oldest first")
    .option("--world <world>", "only of a world")
    .option("--account <account>", "only of an account")
    .option("--strategy <id>", "only of a strategy")
    .option("--working", "only working ones")
    .addHelpText("after", "\nExample:\n  qmtl orders --world demo --working")
    .action(withSession(listOrders));

  program
    .command("positions")
    .description("positions by strategy, and what the broker says of the account")
    .addHelpText("after", "\nExample:\n  qmtl positions --account main")
    .option("--account <account>", "only of an account")
    .option("--world <world>", "only of a world")
    .action(
      withSession(async (session, options: { account?: string; world?: string }) => {
        const answer = await session
          .client(AccountService)
          .listPositions({ accountId: options.account ?? "", worldId: options.world ?? "" });
        if (session.asJson) return printJson(jsonOf(ListPositionsResponseSchema, answer));
        printTable(
          ["account", "world", "strategy", "instrument", "quantity", "broker", "mark", "capital"],
          answer.positions.map((each) => [
            each.accountId,
            each.worldId || "(all)",
            each.strategyId || "(all)",
            each.instrument,
            each.quantity?.value ?? "",
            each.brokerQuantity?.value ?? "",
            each.mark?.value ?? "",
            each.capital?.value ?? "",
          ]),
        );
      }),
    );

  program
    .command("account <account>")
    .description("cash, equity and whether the books agree")
    .option("--reconcile", "compare with the broker now")
    .addHelpText("after", "\nExample:\n  qmtl account main --reconcile")
    .action(
      withSession(async (session, accountId: string, options: { reconcile?: boolean }) => {
        const accounts = session.client(AccountService);
        if (options.reconcile) {
          const result = await accounts.reconcile({ accountId });
          if (session.asJson) return printJson(jsonOf(ReconcileResponseSchema, result));
          console.log(
            result.reconciled
              ? `books agree; ${result.importedFills} fills imported, ${result.settledOrders} orders settled`
              : `books differ: ${result.difference}`,
          );
          return;
        }
        const answer = await accounts.getAccount({ accountId });
        if (session.asJson) return printJson(jsonOf(GetAccountResponseSchema, answer));
        console.log(
          `cash ${answer.account?.cash?.value} ${answer.account?.currency}, equity ${answer.account?.equity?.value}, revision ${answer.account?.revision}${answer.account?.reconciled ? "" : `, unexplained: ${answer.account?.difference}`}`,
        );
      }),
    );

  program
    .command("journal <account>")
    .description("the router's journal, in the order things took effect")
    .option("--after <entry>", "only later entries", "0")
    .option("--kinds <kinds>", "comma separated")
    .addHelpText("after", "\nExample:\n  qmtl journal main --after 100")
    .action(
      withSession(
        async (session, accountId: string, options: { after: string; kinds?: string }) => {
          let afterEntry = BigInt(options.after);
          for (;;) {
            const page = await session.client(AccountService).listJournal({
              accountId,
              afterEntry,
              pageSize: 1000,
              kinds: options.kinds?.split(",") ?? [],
            });
            for (const entry of page.entries) {
              if (session.asJson) printJson(jsonOf(JournalEntrySchema, entry));
              else
                console.log(
                  `${entry.entry}  ${entry.kind}  row ${entry.row}  ${entry.strategyId}  ${entry.bodyJson}`,
                );
              afterEntry = entry.entry;
            }
            if (page.atEnd || page.entries.length === 0) return;
          }
        },
      ),
    );
}

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
