import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type CancelOrdersRequestSchema,
  CancelOrdersResponseSchema,
  OrderService,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import {
  type Order,
  OrderOrigin,
  OrderSchema,
  OrderState,
} from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
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
  const orders = program.command("orders").description("list, show and cancel orders");

  orders
    .command("list", { isDefault: true })
    .description("orders of the journal, oldest first")
    .option("--world <world>", "only of a world")
    .option("--account <account>", "only of an account")
    .option("--strategy <strategy>", "only of a strategy: its id, or its name with --world")
    .option("--working", "only working ones")
    .option("--follow", "print the working orders, then each that changes, until Ctrl-C")
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
    .command("show <order>")
    .description("one order, as JSON")
    .addHelpText("after", "\nExample:\n  qmtl orders show ORDER")
    .action(withSession(showOrder));

  orders
    .command("cancel [orders...]")
    .description("cancel working orders: those named, or all of a world, strategy or account")
    .option("--world <world>", "all of a world")
    .option("--strategy <strategy>", "with --world: all of a strategy, by its id or name")
    .option("--account <account>", "all of an account")
    .requiredOption("--reason <text>", "reason; kept in the journal")
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
    throw new CommandError(`${strategy} is not a strategy id; a name needs --world`);
  return { worldId: world, strategyId: await session.strategyId(world, strategy) };
}

async function listOrders(session: CommandSession, filter: OrderFilter): Promise<void> {
  const scope = await scopeOf(session, filter);
  const service = session.client(OrderService);
  const asked = {
    filter: { ...scope, accountId: filter.account ?? "", workingOnly: filter.working === true },
    pageSize: 1000,
  };
  const orders = await allOf(
    (pageToken) => service.listOrders({ ...asked, pageToken }),
    (page) => page.orders,
  );
  if (session.asJson) return printJson(orders.map((order) => jsonOf(OrderSchema, order)));
  printTable(
    ["order", "strategy", "row", "quantity", "filled", "price", "state", "origin", "fence"],
    orders.map(cellsOf),
  );
}

async function followOrders(session: CommandSession, filter: OrderFilter): Promise<void> {
  refuseIdle({ "--working": filter.working }, "with --follow, which prints every change");
  const scope = await scopeOf(session, filter);
  const asked = { filter: { ...scope, accountId: filter.account ?? "" } };
  for await (const { orders } of session.client(OrderService).watchOrders(asked)) {
    for (const order of orders) {
      if (session.asJson) printJson(jsonOf(OrderSchema, order));
      else console.log(cellsOf(order).join("  "));
    }
  }
}

async function showOrder(session: CommandSession, clientOrderId: string): Promise<void> {
  const { order } = await session.client(OrderService).getOrder({ clientOrderId });
  if (order !== undefined) printJson(jsonOf(OrderSchema, order));
}

interface CancelOptions {
  world?: string;
  strategy?: string;
  account?: string;
  reason: string;
}

async function cancelOrders(
  session: CommandSession,
  clientOrderIds: string[],
  options: CancelOptions,
): Promise<void> {
  const answer = await session.client(OrderService).cancelOrders({
    scope: await cancelScopeOf(session, clientOrderIds, options),
    reason: options.reason,
  });
  const sent = answer.results.filter((result) => result.sent);
  if (session.asJson) printJson(jsonOf(CancelOrdersResponseSchema, answer));
  else {
    for (const { clientOrderId } of sent) console.log(clientOrderId);
    console.log(`a cancel was sent for ${sent.length} orders`);
  }
  const unsent = answer.results.filter((result) => !result.sent);
  // When a whole scope is cancelled, an order that ended meanwhile is no failure: nobody named it.
  if (clientOrderIds.length === 0 || unsent.length === 0) return;
  const idsOf = (isUnknown: boolean): string[] =>
    unsent
      .filter(({ reason }) => (reason === Reason.ORDER_NOT_FOUND) === isUnknown)
      .map(({ clientOrderId }) => clientOrderId);
  const ended = idsOf(false);
  const unknown = idsOf(true);
  const told = [
    ...(ended.length === 0 ? [] : [`not working: ${ended.join(", ")}`]),
    ...(unknown.length === 0 ? [] : [`not found: ${unknown.join(", ")}`]),
  ];
  throw new CommandError(
    told.join("; "),
    ExitCode.refused,
    "`qmtl orders --working` shows what can be cancelled",
  );
}

type CancelScope = NonNullable<MessageInitShape<typeof CancelOrdersRequestSchema>["scope"]>;

/** Exactly one of: named orders, a world or one of its strategies, an account. */
async function cancelScopeOf(
  session: CommandSession,
  clientOrderIds: readonly string[],
  { world, strategy, account }: CancelOptions,
): Promise<CancelScope> {
  const ways = [
    clientOrderIds.length > 0,
    (world ?? strategy) !== undefined,
    account !== undefined,
  ];
  if (ways.filter(Boolean).length !== 1)
    throw new CommandError("name orders, or give --world with or without --strategy, or --account");
  if (clientOrderIds.length > 0)
    return { case: "orders", value: { clientOrderIds: [...clientOrderIds] } };
  if (account !== undefined) return { case: "accountId", value: account };
  if (world === undefined)
    throw new CommandError("--strategy needs --world: a strategy may trade in several");
  const strategyId = strategy === undefined ? "" : await session.strategyId(world, strategy);
  return { case: "strategy", value: { worldId: world, strategyId } };
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
