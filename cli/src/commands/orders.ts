import {
  CancelOrdersResponseSchema,
  type Order,
  OrderOrigin,
  OrderSchema,
  OrderService,
  OrderState,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";

interface OrderFilter {
  world?: string;
  account?: string;
  strategy?: string;
  working?: boolean;
  follow?: boolean;
}

/** `qmtl orders …`: orders of the journal, and cancelling them. */
export function addOrderCommands(program: Command): void {
  const orders = program.command("orders").description("orders of the journal; cancelling them");

  orders
    .command("list", { isDefault: true })
    .description("orders of the journal, oldest first")
    .option("--world <world>", "only of a world")
    .option("--account <account>", "only of an account")
    .option("--strategy <strategy>", "only of a strategy: its id, or its name with --world")
    .option("--working", "only working ones")
    .option("--follow", "print each order that changes from now on, until Ctrl-C")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl orders list --world demo --working\n  qmtl orders --world demo",
    )
    .action(
      withSession((session, filter: OrderFilter) =>
        filter.follow === true ? followOrders(session, filter) : listOrders(session, filter),
      ),
    );

  orders
    .command("cancel [orders...]")
    .description("cancel working orders: those named, or all of a world or strategy")
    .option("--world <world>", "only of a world")
    .option("--strategy <strategy>", "only of a strategy: its id, or its name with --world")
    .requiredOption("--reason <text>", "why; kept in the journal")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl orders cancel --world demo --reason 'bad feed'\n\n" +
        "A strategy that runs sends its target again; `qmtl halt` stops it.",
    )
    .action(withSession(cancelOrders));
}

async function scopeOf(
  session: CommandSession,
  { world = "", strategy = "" }: { world?: string; strategy?: string },
): Promise<{ worldId: string; strategyId: string }> {
  if (strategy === "" || /^s-[0-9a-f]{16}$/.test(strategy))
    return { worldId: world, strategyId: strategy };
  if (world === "")
    throw new CommandError(`${strategy} is no id of a strategy; a name needs --world`);
  return { worldId: world, strategyId: await session.strategyId(world, strategy) };
}

async function listOrders(session: CommandSession, filter: OrderFilter): Promise<void> {
  const scope = await scopeOf(session, filter);
  const service = session.client(OrderService);
  const asked = {
    ...scope,
    accountId: filter.account ?? "",
    workingOnly: filter.working === true,
    pageSize: 1000,
  };
  const orders = await allOf(
    (pageToken) => service.listOrders({ ...asked, pageToken }),
    (page) => page.orders,
  );
  // None at all may be a world that is misspelt: then that is the answer.
  if (orders.length === 0 && scope.worldId !== "")
    await session.client(WorldService).getWorld({ worldId: scope.worldId });
  if (session.asJson) return printJson(orders.map((order) => jsonOf(OrderSchema, order)));
  printTable(
    ["order", "strategy", "row", "quantity", "filled", "price", "state", "origin", "fence"],
    orders.map(cellsOf),
  );
}

async function followOrders(session: CommandSession, filter: OrderFilter): Promise<void> {
  refuseIdle({ "--working": filter.working }, "with --follow, which tells every change");
  const { worldId, strategyId } = await scopeOf(session, filter);
  const accountId = filter.account ?? "";
  for await (const { order } of session.client(OrderService).watchOrders({ accountId, worldId })) {
    if (order === undefined || (strategyId !== "" && order.strategyId !== strategyId)) continue;
    if (session.asJson) printJson(jsonOf(OrderSchema, order));
    else console.log(cellsOf(order).join("  "));
  }
}

async function cancelOrders(
  session: CommandSession,
  clientOrderIds: string[],
  options: { world?: string; strategy?: string; reason: string },
): Promise<void> {
  if (clientOrderIds.length === 0 && options.world === undefined && options.strategy === undefined)
    throw new CommandError("name orders, or say --world or --strategy");
  const scope = await scopeOf(session, options);
  const answer = await session
    .client(OrderService)
    .cancelOrders({ ...scope, clientOrderIds, reason: options.reason });
  const missing = clientOrderIds.filter((id) => !answer.clientOrderIds.includes(id));
  if (session.asJson) printJson(jsonOf(CancelOrdersResponseSchema, answer));
  else {
    for (const id of answer.clientOrderIds) console.log(id);
    console.log(`a cancel was sent for ${answer.clientOrderIds.length} orders`);
  }
  if (missing.length > 0)
    throw new CommandError(
      `not working: ${missing.join(", ")}`,
      ExitCode.refused,
      "`qmtl orders --working` shows what can be cancelled",
    );
}

function cellsOf(order: Order): string[] {
  return [
    order.clientOrderId,
    order.strategyId,
    String(order.row),
    order.quantity?.value ?? "",
    order.filledQuantity?.value ?? "",
    order.averagePrice?.value ?? "",
    enumName(OrderState, order.state),
    enumName(OrderOrigin, order.origin),
    String(order.fence),
  ];
}
