import { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  ActivationService,
  GetActivationResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import {
  AuditEntrySchema,
  type Binding,
  BindingSchema,
  WorldClock,
  WorldSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { gateText, stopLines, stopsJson, stopsOfWorld } from "../halts-of-world.ts";
import { jsonOf } from "../json-of.ts";
import { integerIn } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";
import { addActivationCommands } from "./world-activation.ts";
import { addApplyCommands } from "./world-apply.ts";
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
        const stops = await stopsOfWorld(
          session,
          { worldId, accountId: found?.accountId ?? "" },
          bindings.map(({ strategyId }) => strategyId),
        );
        if (session.asJson)
          return printJson({
            ...(found === undefined ? {} : { world: jsonOf(WorldSchema, found) }),
            bindings: bindings.map((each) => jsonOf(BindingSchema, each)),
            activation: jsonOf(GetActivationResponseSchema, activation),
            ...stopsJson(stops),
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
          `gate ${gateText(gate?.gate, stops.shut)}, fence ${gate?.fence}, revision ${gate?.revision}, mode ${enumName(EffectiveMode, gate?.decision?.mode ?? 0)}${holds ? `, held: ${holds}` : ""}`,
        );
        for (const line of stopLines(stops)) console.log(line);
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

/** `qmtl world bind|unbind|bindings`: which strategies run in a world. */
function addBindingCommands(world: Command): void {
  world
    .command("bind <world> <strategy>")
    .description("bind a strategy to a world; `qmtl submit` and `qmtl run` do it by themselves")
    .option("--name <name>", "author's name of the strategy")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world bind demo s-0123456789abcdef --name momentum\n\n" +
        "`qmtl rebalance allocate` sets the shares of the strategies of a world.",
    )
    .action(
      withSession(
        async (
          session,
          worldId: string,
          strategyId: string,
          { name: strategyName = "" }: { name?: string },
        ) => {
          if (!/^s-[0-9a-f]{16}$/.test(strategyId))
            throw new CommandError(
              `${strategyId} is not a strategy id`,
              ExitCode.usage,
              "write the id as `qmtl submit` prints it: s-0123456789abcdef",
            );
          const { bindings } = await session
            .client(WorldService)
            .createBindings({ worldId, strategies: [{ strategyId, strategyName }] });
          if (session.asJson) return printJson(bindings.map((each) => jsonOf(BindingSchema, each)));
          for (const each of bindings)
            console.log(
              `${each.strategyName || each.strategyId} is bound to ${worldId}, stage ${enumName(EffectiveMode, each.stage)}, share ${Number(each.share.toFixed(6))}`,
            );
        },
      ),
    );

  world
    .command("unbind <world> <strategy>")
    .description("remove a strategy that is off from a world")
    .requiredOption("--reason <text>", "reason; kept in the audit")
    .addHelpText("after", "\nExample:\n  qmtl world unbind demo momentum --reason 'replaced'")
    .action(
      withSession(
        async (session, worldId: string, name: string, { reason }: { reason: string }) => {
          const strategyId = await session.strategyId(worldId, name);
          await session.client(WorldService).deleteBinding({ worldId, strategyId, reason });
          if (session.asJson)
            return printJson({ world_id: worldId, strategy_id: strategyId, unbound: true });
          console.log(`${name} is no longer bound to ${worldId}`);
        },
      ),
    );

  world
    .command("bindings <world>")
    .description("strategies of a world, in order of binding")
    .addHelpText("after", "\nExample:\n  qmtl world bindings demo")
    .action(
      withSession(async (session, worldId: string) => {
        const service = session.client(WorldService);
        const bindings = await allOf(
          (pageToken) => service.listBindings({ worldId, pageSize: 1000, pageToken }),
          (page) => page.bindings,
        );
        if (session.asJson) return printJson(bindings.map((each) => jsonOf(BindingSchema, each)));
        printBindings(bindings);
      }),
    );
}

/** Strategies of a world with their modes and shares. */
function printBindings(bindings: readonly Binding[]): void {
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
}
