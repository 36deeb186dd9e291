import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type Binding,
  BindingSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { numberIn } from "../option-values.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";

/** `qmtl world bind|bindings`: which strategies run in a world. */
export function addBindingCommands(world: Command): void {
  world
    .command("bind <world> <strategy>")
    .description("bind a strategy to a world; `qmtl submit` and `qmtl run` do it by themselves")
    .option("--name <name>", "author's name of the strategy")
    .option("--share <share>", "share of the world's capital, 0..1", numberIn({ min: 0, max: 1 }))
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world bind demo s-0123456789abcdef --name momentum --share 0.5",
    )
    .action(
      withSession(
        async (
          session,
          worldId: string,
          strategyId: string,
          options: { name?: string; share?: number },
        ) => {
          if (!/^s-[0-9a-f]{16}$/.test(strategyId))
            throw new CommandError(
              `${strategyId} is no id of a strategy`,
              ExitCode.usage,
              "write the id as `qmtl submit` prints it: s-0123456789abcdef",
            );
          const { name = "", share = 0 } = options;
          const wanted = { worldId, strategyId, strategyName: name, share };
          const { bindings } = await session
            .client(WorldService)
            .createBindings({ worldId, bindings: [wanted] });
          if (session.asJson) return printJson(bindings.map((each) => jsonOf(BindingSchema, each)));
          for (const each of bindings)
            console.log(
              `${each.strategyName || each.strategyId} is bound to ${worldId}, stage ${enumName(EffectiveMode, each.stage)}, share ${each.share}`,
            );
        },
      ),
    );

  world
    .command("bindings <world>")
    .description("strategies of a world, in order of binding")
    .addHelpText("after", "\nExample:\n  qmtl world bindings demo")
    .action(
      withSession(async (session, worldId: string) => {
        const { bindings } = await session.client(WorldService).listBindings({ worldId });
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
