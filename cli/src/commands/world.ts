import { Gate, HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
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
import { haltLine, haltsJson, haltsOfWorld } from "../halts-of-world.ts";
import { jsonOf } from "../json-of.ts";
import { integerIn } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";
import { addActivationCommands } from "./world-activation.ts";
import { addApplyCommands } from "./world-apply.ts";
import { addBindingCommands, printBindings } from "./world-bindings.ts";
import { addDecisionCommands } from "./world-decision.ts";
import { addSettingsCommands } from "./world-settings.ts";
import { addViewCommands } from "./world-view.ts";

/** `qmtl world …`: make, show, promote, freeze and judge worlds. */
export function addWorldCommands(program: Command): void {
  const world = program
    .command("world")
    .description("worlds: policy scopes with their own decisions and capital");
  addSettingsCommands(world);
  addReadCommands(world);
  addBindingCommands(world);
  addActivationCommands(world);
  addApplyCommands(world);
  addDecisionCommands(world);
  addViewCommands(world);
}

function addReadCommands(world: Command): void {
  world
    .command("list")
    .description("worlds, by id")
    .addHelpText("after", "\nExample:\n  qmtl world list")
    .action(
      withSession(async (session) => {
        const service = session.client(WorldService);
        const worlds = await allOf(
          (pageToken) => service.listWorlds({ pageSize: 1000, pageToken }),
          (page) => page.worlds,
        );
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
    .description("settings, gate, holds, halts and strategies of a world")
    .addHelpText("after", "\nExample:\n  qmtl world show demo")
    .action(
      withSession(async (session, worldId: string) => {
        const service = session.client(WorldService);
        const { world: found } = await service.getWorld({ worldId });
        const bindings = await allOf(
          (pageToken) => service.listBindings({ worldId, pageSize: 1000, pageToken }),
          (page) => page.bindings,
        );
        const activation = await session.client(ActivationService).getActivation({ worldId });
        const halts = await haltsOfWorld(
          session,
          { worldId, accountId: found?.accountId ?? "" },
          bindings.map(({ strategyId }) => strategyId),
        );
        if (session.asJson)
          return printJson({
            ...(found === undefined ? {} : { world: jsonOf(WorldSchema, found) }),
            bindings: bindings.map((each) => jsonOf(BindingSchema, each)),
            activation: jsonOf(GetActivationResponseSchema, activation),
            halts: haltsJson(halts),
          });
        if (found !== undefined)
          console.log(
            `${found.displayName || worldId}: ${enumName(WorldClock, found.clock)} clock${found.source ? ` of ${found.source}` : ""}, account ${found.accountId || "-"}, ${found.allocation} of its equity, policy ${found.policyVersion || "-"}${found.allowLive ? ", live allowed" : ""}`,
          );
        const gate = activation.gate;
        const holds = gate?.holds
          .map(({ kind, reason }) => `${enumName(HoldKind, kind).toLowerCase()} (${reason})`)
          .join(", ");
        console.log(
          `gate ${enumName(Gate, gate?.gate ?? 0)}, fence ${gate?.fence}, revision ${gate?.revision}, mode ${enumName(EffectiveMode, gate?.decision?.mode ?? 0)}${holds ? `, held: ${holds}` : ""}`,
        );
        for (const halt of halts) console.log(haltLine(halt));
        printBindings(bindings);
      }),
    );

  world
    .command("audit <world>")
    .description("who did what, when")
    .addHelpText("after", "\nExample:\n  qmtl world audit demo --after 20")
    .option("--after <entry>", "only later entries", integerIn({ min: 0 }), 0)
    .action(
      withSession(async (session, worldId: string, options: { after: number }) => {
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
}
