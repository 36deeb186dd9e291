import { Gate } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  ActivationService,
  GetActivationResponseSchema,
  SetActivationResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { hasReason } from "@qmtl/sdk/errors";
import { type Command, Option } from "commander";
import { ExitCode, RefusalError } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { numberIn } from "../option-values.ts";
import { enumName, printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

const SIDES: Readonly<Record<string, Side>> = { long: Side.LONG, short: Side.SHORT };

interface ActivationOptions {
  side?: string;
  weight?: number;
  freeze?: boolean;
  drain?: boolean;
  reason: string;
}

/** `qmtl world activation|activate|deactivate`: which side of which strategy may trade, and how much. */
export function addActivationCommands(world: Command): void {
  world
    .command("activation <world> [strategy]")
    .description("gate of a world, and which side of which strategy is on")
    .addHelpText("after", "\nExample:\n  qmtl world activation demo momentum")
    .action(
      withSession(async (session, worldId: string, name: string | undefined) => {
        const strategyId = name === undefined ? "" : await session.strategyId(worldId, name);
        const answer = await session
          .client(ActivationService)
          .getActivation({ worldId, strategyId });
        if (session.asJson) return printJson(jsonOf(GetActivationResponseSchema, answer));
        console.log(`gate ${enumName(Gate, answer.gate?.gate ?? 0)}, fence ${answer.gate?.fence}`);
        printTable(
          ["strategy", "side", "active", "weight", "mode", "orders"],
          answer.activations.map(({ activation: each }) => [
            each?.strategyId ?? "",
            enumName(Side, each?.side ?? 0),
            each?.active ? "yes" : "no",
            String(each?.weight ?? 0),
            enumName(EffectiveMode, each?.effectiveMode ?? 0),
            each?.freeze ? "frozen" : each?.drain ? "draining" : "",
          ]),
        );
      }),
    );

  const side = (): Option =>
    new Option("--side <side>", "one side only").choices(Object.keys(SIDES));
  world
    .command("activate <world> <strategy>")
    .description("weight, freeze and drain of a strategy that is on; switching on needs apply")
    .addOption(side())
    .option(
      "--weight <weight>",
      "part of its share that is used, 0..1; a first live activation begins at 0",
      numberIn({ min: 0, max: 1 }),
    )
    .option("--freeze", "no new orders")
    .option("--drain", "open orders finish, no new ones")
    .requiredOption("--reason <text>", "why; audited")
    .addHelpText(
      "after",
      `
Examples:
  qmtl world activate demo momentum --weight 0.5 --reason 'half the risk'
  qmtl world activate demo momentum --side long --weight 0.1 --reason 'first live step'

A strategy that an apply makes live for the first time has weight 0 and holds nothing: raise it in steps with --weight.
Without --weight it stays as it is; a freeze or drain that is not named again is taken back.`,
    )
    .action(
      withSession((session, worldId: string, name: string, options: ActivationOptions) =>
        setActivation(session, worldId, name, { ...options, active: true }),
      ),
    );

  world
    .command("deactivate <world> <strategy>")
    .description("switch a strategy off at once; switching on needs apply")
    .addOption(side())
    .option("--drain", "open orders finish, no new ones")
    .addHelpText("after", "\nExample:\n  qmtl world deactivate demo momentum --reason 'bad fills'")
    .option("--reason <text>", "why; audited", "switched off by the operator")
    .action(
      withSession((session, worldId: string, name: string, options: ActivationOptions) =>
        setActivation(session, worldId, name, { ...options, active: false }),
      ),
    );
}

async function setActivation(
  session: CommandSession,
  worldId: string,
  name: string,
  { side = "", weight, ...options }: ActivationOptions & { active: boolean },
): Promise<void> {
  const strategyId = await session.strategyId(worldId, name);
  const { active, freeze = false, drain = false, reason } = options;
  const answer = await session
    .client(ActivationService)
    .setActivation({
      worldId,
      strategyId,
      side: SIDES[side] ?? Side.UNSPECIFIED,
      active,
      freeze,
      drain,
      reason,
      ...(weight === undefined ? {} : { weight }),
    })
    .catch((failure: unknown) => {
      if (!hasReason(failure, "MODE_NOT_REACHABLE")) throw failure;
      const hint = `\`qmtl world apply ${worldId} --run ID --activate ${name}\` switches it on`;
      const message = `${name} is off in ${worldId}; switching on needs an apply`;
      throw new RefusalError(message, ExitCode.refused, hint, "MODE_NOT_REACHABLE");
    });
  if (session.asJson)
    return printJson({
      world_id: worldId,
      strategy_id: strategyId,
      active,
      ...(jsonOf(SetActivationResponseSchema, answer) as object),
    });
  console.log(`${name} is ${active ? "on" : "off"} in ${worldId}`);
  for (const { activation: each } of answer.activations)
    console.log(
      `  ${enumName(Side, each?.side ?? 0)}: ${each?.active ? "on" : "off"}, weight ${each?.weight}${each?.freeze ? ", frozen" : ""}${each?.drain ? ", draining" : ""}`,
    );
}
