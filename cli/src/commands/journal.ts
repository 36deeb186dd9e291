import {
  AccountService,
  type JournalEntry,
  JournalEntrySchema,
  ListPositionsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import type { Command } from "commander";
import { jsonOf } from "../json-of.ts";
import { integerIn, nameList } from "../option-values.ts";
import { printJson, printTable } from "../print.ts";
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
    .command("journal <account>")
    .description("the router's journal, in the order things took effect")
    .option("--after <entry>", "only later entries", integerIn({ min: 0 }), 0)
    .option("--kinds <kinds>", "only these kinds, such as order,fill", nameList)
    .option("--follow", "stay and print what comes, until Ctrl-C")
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
  let afterEntry = BigInt(after);
  for (;;) {
    const page = await accounts.listJournal({ accountId, afterEntry, pageSize: 1000, kinds });
    for (const entry of page.entries) print(session, entry);
    afterEntry = page.entries.at(-1)?.entry ?? afterEntry;
    if (page.atEnd || page.entries.length === 0) return;
  }
}

/** What is stored after the entry, then what comes, each entry once. */
async function followJournal(
  session: CommandSession,
  accountId: string,
  { after, kinds = [] }: JournalOptions,
): Promise<void> {
  const afterEntry = BigInt(after);
  const stream = session.client(AccountService).watchJournal({ accountId, afterEntry });
  for await (const { entries } of stream) {
    for (const entry of entries)
      if (kinds.length === 0 || kinds.includes(entry.kind)) print(session, entry);
  }
}

function print(session: CommandSession, entry: JournalEntry): void {
  if (session.asJson) printJson(jsonOf(JournalEntrySchema, entry));
  else
    console.log(
      `${entry.entry}  ${entry.kind}  row ${entry.row}  ${entry.strategyId}  ${entry.bodyJson}`,
    );
}
