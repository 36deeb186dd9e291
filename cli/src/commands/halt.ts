import {
  HaltResponseSchema,
  OrderService,
  type ResumeResponse,
  ResumeResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { Command } from "commander";
import { type HaltScope, haltedText, haltTarget } from "../halt-scope.ts";
import { jsonOf } from "../json-of.ts";
import { millisecondsOf, printJson, printNote } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { type CommandSession, withSession } from "../session.ts";

interface HaltOptions extends HaltScope {
  reason: string;
  cancel?: boolean;
  flatten?: boolean;
}

interface ResumeOptions extends HaltScope {
  halt?: string;
  reason: string;
}

/** `qmtl halt` and `qmtl resume`: stop the router, and let it continue. */
export function addHaltCommands(program: Command): void {
  program
    .command("halt")
    .description("stop orders; works while the other services are down; survives restarts")
    .option("--account <account>", "only an account")
    .option("--world <world>", "only a world")
    .option("--strategy <id>", "only a strategy, in every world")
    .requiredOption("--reason <text>", "reason; kept in the journal")
    .option("--cancel", "cancel working opening orders")
    .option("--flatten", "close positions with reduce-only orders")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl halt --world demo --reason 'bad feed' --cancel\n" +
        "  qmtl halt --reason 'stop it all'\n\n" +
        "Without --account, --world or --strategy everything is halted. `qmtl halts` shows what is in force.",
    )
    .action(withSession(halt));

  program
    .command("resume")
    .description(
      "end a halt, or the shut of a world after an order written too late; orders that catch up with the targets are sent at once",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl resume --world demo --reason 'feed is good'\n" +
        "  qmtl resume --reason 'all is well'\n\n" +
        "Without an option the halt of everything ends; others stay in force. `qmtl halts` shows them.",
    )
    .option("--halt <id>", "the halt, by its id")
    .option("--account <account>", "the halt of an account")
    .option("--world <world>", "the halt of a world, or its shut after an order written too late")
    .option("--strategy <id>", "the halt of a strategy")
    .requiredOption("--reason <text>", "reason; kept in the journal")
    .action(withSession(resume));
}

async function halt(session: CommandSession, options: HaltOptions): Promise<void> {
  const answer = await session.client(OrderService).halt({
    target: haltTarget(options),
    reason: options.reason,
    cancel: options.cancel === true,
    flatten: options.flatten === true,
  });
  if (answer.halt?.stored === false) {
    printNote(
      "the database does not store it now: the halt is in force in the gateway, and stored as soon as it can be " +
        "(column STORED of `qmtl halts`); a gateway that is stopped before that tries until its limit, and its log says " +
        "if the halt is lost; one that is killed loses it",
      session.asJson,
    );
  }
  if (session.asJson) return printJson(jsonOf(HaltResponseSchema, answer));
  const { cancelled, flattened } = answer;
  console.log(
    `halted ${haltedText(answer.halt)} as ${answer.halt?.haltId}; ${cancelled.length} orders cancelled, ` +
      `the last after ${millisecondsOf(answer.elapsed).toFixed(1)} ms; ${flattened.length} sent to flatten`,
  );
}

async function resume(session: CommandSession, options: ResumeOptions): Promise<void> {
  const { halt: haltId, reason, ...place } = options;
  if (haltId !== undefined) {
    const { account, world, strategy } = place;
    refuseIdle({ "--account": account, "--world": world, "--strategy": strategy }, "with --halt");
  }
  const answer = await session.client(OrderService).resume({
    which:
      haltId === undefined
        ? { case: "target", value: haltTarget(place) }
        : { case: "haltId", value: haltId },
    reason,
  });
  if (session.asJson) return printJson(jsonOf(ResumeResponseSchema, answer));
  for (const line of resumedLines(answer)) console.log(line);
}

/** What a resume ended, each cause on a line of its own, and the halts that are left. */
export function resumedLines(answer: ResumeResponse): string[] {
  const { halt: ended, reopenedWorldIds, inForce, clientOrderIds } = answer;
  const reopened = reopenedWorldIds.map((each) => `world ${each}`).join(", ");
  const late = `${reopened}, which an order written too late had shut`;
  const sent = `${clientOrderIds.length} catch-up orders sent`;
  return [
    `resumed ${ended === undefined ? late : haltedText(ended)}; ${sent}`,
    ...(ended === undefined || reopened === "" ? [] : [`opened again: ${late}`]),
    ...inForce.map((each) => `still halted: ${haltedText(each)} (${each.haltId})`),
  ];
}
