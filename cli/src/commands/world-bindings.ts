import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type Binding,
  BindingSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { allOf } from "../pages-of.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";

/** `qmtl world bind|unbind|bindings`: which strategies run in a world. */
export function addBindingCommands(world: Command): void {
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
              `${strategyId} is no id of a strategy`,
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
    .description("take a strategy that is off out of a world")
    .requiredOption("--reason <text>", "why; audited")
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
export function printBindings(bindings: readonly Binding[]): void {
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
