import { create } from "@bufbuild/protobuf";
import {
  AccountService,
  ListPositionsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  type JournalEntry,
  JournalEntrySchema,
  JournalKind,
} from "@qmtl/contracts/qmtl/order/v1/account_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { journalSentence } from "../journal-sentence.ts";
import { jsonOf } from "../json-of.ts";
import { integerIn, nameList } from "../option-values.ts";
import { allOf, pagesOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

interface JournalOptions {
  after: number;
  kinds?: string[];
  follow?: boolean;
}

/** `qmtl positions` and `qmtl journal`: what the router has in its books. */
export function addJournalCommands(program: Command): void {
  program
    .command("positions")
    .description("positions by strategy, and what the broker reports for the account")
    .addHelpText("after", "\nExample:\n  qmtl positions --account main")
    .option("--account <account>", "only of an account")
    .option("--world <world>", "only of a world")
    .action(
      withSession(async (session, options: { account?: string; world?: string }) => {
        const service = session.client(AccountService);
        const { account: accountId = "", world: worldId = "" } = options;
        const positions = await allOf(
          (pageToken) => service.listPositions({ accountId, worldId, pageSize: 5000, pageToken }),
          (page) => page.positions,
        );
        if (session.asJson) {
          const whole = create(ListPositionsResponseSchema, { positions });
          return printJson(jsonOf(ListPositionsResponseSchema, whole));
        }
        printTable(
          ["account", "world", "strategy", "instrument", "quantity", "broker", "mark", "capital"],
          positions.map((each) => [
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
    .command("journal <account>")
    .description("the router's journal, in the order things took effect")
    .option("--after <entry>", "only later entries", integerIn({ min: 0 }), 0)
    .option("--kinds <kinds>", "only these kinds, such as order,fill", nameList)
    .option("--follow", "keep running and print new entries, until Ctrl-C")
    .addHelpText("after", "\nExample:\n  qmtl journal main --after 100 --kinds order,fill")
    .action(
      withSession((session, accountId: string, options: JournalOptions) =>
        options.follow === true
          ? followJournal(session, accountId, options)
          : listJournal(session, accountId, options),
      ),
    );
}

async function listJournal(
  session: CommandSession,
  accountId: string,
  { after, kinds = [] }: JournalOptions,
): Promise<void> {
  const accounts = session.client(AccountService);
  const asked = { accountId, afterEntry: BigInt(after), kinds: kinds.map(kindOf), pageSize: 1000 };
  const pages = pagesOf((pageToken) => accounts.listJournal({ ...asked, pageToken }));
  for await (const { entries } of pages) for (const entry of entries) print(session, entry);
}

/** Prints the entries stored after the given one, then new ones as they come, each once. */
async function followJournal(
  session: CommandSession,
  accountId: string,
  { after, kinds = [] }: JournalOptions,
): Promise<void> {
  const asked = { accountId, afterEntry: BigInt(after), kinds: kinds.map(kindOf) };
  const stream = session.client(AccountService).watchJournal(asked);
  for await (const { entries } of stream) for (const entry of entries) print(session, entry);
}

/** The kind with this name, such as `order_state`. */
function kindOf(name: string): JournalKind {
  const kinds = Object.entries(JournalKind).flatMap(([key, kind]) =>
    typeof kind === "number" && kind !== JournalKind.UNSPECIFIED ? [{ key, kind }] : [],
  );
  const found = kinds.find(({ key }) => key === name.toUpperCase());
  if (found !== undefined) return found.kind;
  const names = kinds.map(({ key }) => key.toLowerCase()).join(", ");
  throw new CommandError(
    `${name} is not a kind of journal entry`,
    ExitCode.usage,
    `kinds are ${names}`,
  );
}

function print(session: CommandSession, entry: JournalEntry): void {
  if (session.asJson) printJson(jsonOf(JournalEntrySchema, entry));
  else
    console.log(
      `${entry.entry}  row ${entry.row}  ${enumName(JournalKind, entry.kind).toLowerCase()}: ${journalSentence(entry)}`,
    );
}
