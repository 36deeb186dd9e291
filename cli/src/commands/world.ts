import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  ActivationService,
  GetActivationResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import {
  AuditEntrySchema,
  BindingSchema,
  WorldClock,
  WorldSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { enumName, jsonOf, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";
import { addApplyCommands } from "./world-apply.ts";
import { addDecisionCommands } from "./world-decision.ts";

interface CreateOptions {
  clock: string;
  source?: string;
  account?: string;
  name?: string;
  onDemote?: string;
  allocation?: string;
  maxLagDays?: string;
  allowLive?: boolean;
}

/** `qmtl world …`: make, show, promote, freeze and judge worlds. */
export function addWorldCommands(program: Command): void {
  const world = program
    .command("world")
    .description("worlds: policy scopes with their own decisions and capital");

  world
    .command("create <world>")
    .description("make a world: gate open, nothing active")
    .option("--clock <clock>", "wall or replay", "wall")
    .option("--source <name>", "feed of a replay world, an entry of sources: in qmtl.yml")
    .option("--account <id>", "account it trades on")
    .option("--name <text>", "name for people")
    .option("--on-demote <what>", "flat or keep", "flat")
    .option("--allocation <ratio>", "share of the account's equity, 0..1", "1")
    .option("--max-lag-days <days>", "older data lowers to compute-only", "7")
    .option("--allow-live", "let policies reach live")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world create demo --clock replay --source sp500 --account paper",
    )
    .action(
      withSession(async (session, worldId: string, options: CreateOptions) => {
        if (options.clock !== "wall" && options.clock !== "replay")
          throw new CommandError("--clock takes wall or replay");
        const { world: made } = await session.client(WorldService).createWorld({
          world: {
            worldId,
            displayName: options.name ?? "",
            clock: options.clock === "replay" ? WorldClock.REPLAY : WorldClock.WALL,
            source: options.source ?? "",
            accountId: options.account ?? "",
            onDemote: options.onDemote ?? "",
            allocation: Number(options.allocation ?? 1),
            maxLagSeconds: BigInt(Math.round(Number(options.maxLagDays ?? 7) * 86_400)),
            allowLive: options.allowLive === true,
          },
        });
        if (!made) throw new CommandError("the answer holds no world");
        if (session.asJson) return printJson(jsonOf(WorldSchema, made));
        console.log(`world ${made.worldId} made`);
      }),
    );

  world
    .command("list")
    .description("worlds, by id")
    .addHelpText("after", "\nExample:\n  qmtl world list")
    .action(
      withSession(async (session) => {
        const { worlds } = await session.client(WorldService).listWorlds({ pageSize: 1000 });
        if (session.asJson) return printJson(worlds.map((each) => jsonOf(WorldSchema, each)));
        printTable(
          ["world", "clock", "source", "account", "policy"],
          worlds.map((each) => [
            each.worldId,
            enumName(WorldClock, each.clock),
            each.source,
            each.accountId,
            String(each.policyVersion || "-"),
          ]),
        );
      }),
    );

  world
    .command("show <world>")
    .description("gate, holds and strategies of a world")
    .addHelpText("after", "\nExample:\n  qmtl world show demo")
    .action(
      withSession(async (session, worldId: string) => {
        const { bindings } = await session.client(WorldService).listBindings({ worldId });
        const activation = await session.client(ActivationService).getActivation({ worldId });
        if (session.asJson)
          return printJson({
            bindings: bindings.map((each) => jsonOf(BindingSchema, each)),
            activation: jsonOf(GetActivationResponseSchema, activation),
          });
        const gate = activation.gate;
        const holds = gate?.holds.map((hold) => `${hold.name} (${hold.reason})`).join(", ");
        console.log(
          `gate ${enumName(Gate, gate?.gate ?? 0)}, fence ${gate?.fence}, revision ${gate?.revision}, mode ${enumName(EffectiveMode, gate?.decision?.mode ?? 0)}${holds ? `, held: ${holds}` : ""}`,
        );
        printTable(
          ["strategy", "name", "stage", "mode", "share"],
          bindings.map((each) => [
            each.strategyId,
            each.strategyName,
            enumName(EffectiveMode, each.stage),
            enumName(EffectiveMode, each.effectiveMode),
            each.share.toFixed(3),
          ]),
        );
      }),
    );

  world
    .command("audit <world>")
    .description("who did what, when")
    .addHelpText("after", "\nExample:\n  qmtl world audit demo --after 20")
    .option("--after <entry>", "only later entries", "0")
    .action(
      withSession(async (session, worldId: string, options: { after: string }) => {
        let afterEntry = BigInt(options.after);
        for (;;) {
          const { entries } = await session
            .client(WorldService)
            .listAuditEntries({ worldId, afterEntry, pageSize: 1000 });
          for (const entry of entries) {
            if (session.asJson) printJson(jsonOf(AuditEntrySchema, entry));
            else
              console.log(
                `${entry.entry}  ${entry.type}  fence ${entry.fence}  by ${entry.principal}  ${entry.bodyJson}`,
              );
            afterEntry = entry.entry;
          }
          if (entries.length < 1000) return;
        }
      }),
    );

  addApplyCommands(world);
  addDecisionCommands(world);
}
