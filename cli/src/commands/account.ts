import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  AccountService,
  BookAdjustmentResponseSchema,
  GetAccountResponseSchema,
  ReconcileResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  type Account,
  AccountSchema,
  type Limits,
  LimitsSchema,
} from "@qmtl/contracts/qmtl/order/v1/account_pb";
import type { Command } from "commander";
import { ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { decimalText } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { printJson, printTable, timeText } from "../print.ts";
import { ruinText } from "../ruin-text.ts";
import { type CommandSession, withSession } from "../session.ts";

/** `qmtl account …`: cash, equity, limits, and whether the books agree. */
export function addAccountCommands(program: Command): void {
  const account = program
    .command("account")
    .description("accounts: cash, equity, limits, and whether the books agree");
  addReadCommands(account);
  addLimitCommands(account);

  account
    .command("reconcile <account>")
    .description("compare the books with the broker now; exits with 1 when they differ")
    .addHelpText("after", "\nExample:\n  qmtl account reconcile main")
    .action(withSession(reconcile));

  account
    .command("adjust <account>")
    .description("book an adjustment, which is what clears an unexplained difference")
    .requiredOption(
      "--quantity <decimal>",
      "signed quantity of the instrument, or of cash without --instrument",
      decimalText,
    )
    .option("--instrument <symbol>", "instrument to adjust (default: cash)", "")
    .requiredOption("--reason <text>", "reason; kept in the journal")
    .option("--request <id>", "idempotency key: the same key books only once (default: a new key)")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl account adjust main --instrument BTCUSDT --quantity -0.5 --reason 'moved to cold storage'",
    )
    .action(withSession(adjust));
}

function addReadCommands(account: Command): void {
  account
    .command("show <account>", { isDefault: true })
    .description("cash, equity, whether the books agree, and whether it is ruined")
    .option("--reconcile", "compare with the broker now")
    .addHelpText("after", "\nExamples:\n  qmtl account show main\n  qmtl account main --reconcile")
    .action(
      withSession(async (session, accountId: string, options: { reconcile?: boolean }) => {
        if (options.reconcile) return reconcile(session, accountId);
        const answer = await session.client(AccountService).getAccount({ accountId });
        if (session.asJson) return printJson(jsonOf(GetAccountResponseSchema, answer));
        if (answer.account) console.log(textOf(answer.account));
      }),
    );

  account
    .command("list")
    .description("accounts, by id")
    .addHelpText("after", "\nExample:\n  qmtl account list")
    .action(
      withSession(async (session) => {
        const service = session.client(AccountService);
        const accounts = await allOf(
          (pageToken) => service.listAccounts({ pageSize: 1000, pageToken }),
          (page) => page.accounts,
        );
        if (session.asJson) return printJson(accounts.map((each) => jsonOf(AccountSchema, each)));
        printTable(
          [
            "account",
            "broker",
            "cash",
            "equity",
            "currency",
            "worlds",
            "books",
            "checked",
            "ruined",
          ],
          accounts.map((each) => [
            each.accountId,
            each.broker,
            each.cash?.value ?? "",
            each.equity?.value ?? "",
            each.currency,
            each.worldIds.join(",") || "-",
            each.reconciled ? "agree" : "differ",
            timeText(each.reconcileTime),
            ruinedText(each),
          ]),
        );
      }),
    );
}

function addLimitCommands(account: Command): void {
  account
    .command("limits <account>")
    .description("limits of an account")
    .addHelpText("after", "\nExample:\n  qmtl account limits main")
    .action(
      withSession(async (session, accountId: string) => {
        const answer = await session.client(AccountService).getAccount({ accountId });
        const limits = answer.account?.limits ?? create(LimitsSchema);
        if (session.asJson) return printJson(jsonOf(LimitsSchema, limits));
        printLimits(limits);
      }),
    );
}

async function reconcile(session: CommandSession, accountId: string): Promise<void> {
  const result = await session.client(AccountService).reconcile({ accountId });
  if (!result.reconciled) process.exitCode = ExitCode.refused;
  if (session.asJson) return printJson(jsonOf(ReconcileResponseSchema, result));
  console.log(
    result.reconciled
      ? `books agree; ${result.importedFills} fills imported, ${result.settledOrders} orders settled`
      : `books differ: ${result.difference}`,
  );
}

async function adjust(
  session: CommandSession,
  accountId: string,
  options: { quantity: string; instrument: string; reason: string; request?: string },
): Promise<void> {
  const { instrument, quantity, reason, request: requestId = randomUUID() } = options;
  const answer = await session
    .client(AccountService)
    .bookAdjustment({ accountId, instrument, quantity: { value: quantity }, reason, requestId });
  if (session.asJson)
    return printJson({
      ...(jsonOf(BookAdjustmentResponseSchema, answer) as object),
      request_id: requestId,
    });
  console.log(
    `${quantity} ${instrument || "cash"} booked on ${accountId} as entry ${answer.entry}`,
  );
}

function printLimits(limits: Limits): void {
  console.log(`one order at most ${limits.maxOrderNotional?.value ?? "(no limit)"}`);
  console.log(`gross at most     ${limits.maxGrossNotional?.value ?? "(no limit)"}`);
}

function textOf(account: Account): string {
  const { cash, currency, equity, revision, reconciled, difference, ruin } = account;
  const books = reconciled ? "" : `, unexplained: ${difference}`;
  const end = ruin === undefined ? "" : `\n${ruinText(ruin)}`;
  return `cash ${cash?.value} ${currency}, equity ${equity?.value}${heldText(account)}, revision ${revision}${books}${end}`;
}

/** Since when it is ruined; `-` if it is not. */
function ruinedText({ ruin }: Account): string {
  if (ruin === undefined) return "-";
  return ruin.ruinTime === undefined ? "yes" : timeText(ruin.ruinTime);
}

/** What holding positions has cost; nothing for an account that was charged nothing. */
function heldText({ financing }: Account): string {
  const interest = Number(financing?.interest?.value ?? 0);
  const borrowFees = Number(financing?.borrowFees?.value ?? 0);
  const funding = Number(financing?.funding?.value ?? 0);
  const paid = (cost: number): string => `${cost < 0 ? "received" : "paid"} ${Math.abs(cost)}`;
  const ofDays = `, ${paid(interest)} of interest, ${paid(borrowFees)} of borrow fees`;
  const ofFunding = funding === 0 ? "" : `, ${paid(funding)} of funding`;
  return `${interest === 0 && borrowFees === 0 ? "" : ofDays}${ofFunding}`;
}
