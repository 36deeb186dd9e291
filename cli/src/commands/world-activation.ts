import { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  type ActivationEnvelope,
  ActivationService,
  DeactivateResponseSchema,
  GetActivationResponseSchema,
  UpdateActivationResponseSchema,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { type Command, Option } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { gateText, stopLines, stopsIn, stopsJson } from "../halts-of-world.ts";
import { jsonOf } from "../json-of.ts";
import { numberIn } from "../option-values.ts";
import { enumName, printJson, printNote, printTable } from "../print.ts";
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
        const stops = await stopsIn(session, worldId);
        if (session.asJson) {
          const shown = jsonOf(GetActivationResponseSchema, answer);
          return printJson(Object.assign({}, shown, stopsJson(stops)));
        }
        console.log(`gate ${gateText(answer.gate?.gate, stops.shut)}, fence ${answer.gate?.fence}`);
        for (const line of stopLines(stops)) console.log(line);
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
      "part of its share that is used, 0..1; the first live activation starts at 0",
      numberIn({ min: 0, max: 1 }),
    )
    .option("--freeze", "no orders at all")
    .option("--no-freeze", "end the freeze")
    .option("--drain", "let working orders finish, send no new ones")
    .option("--no-drain", "end the drain")
    .requiredOption("--reason <text>", "reason; kept in the audit")
    .addHelpText(
      "after",
      `
Examples:
  qmtl world activate demo momentum --weight 0.5 --reason 'half the risk'
  qmtl world activate demo momentum --side long --weight 0.1 --reason 'first live step'

A strategy that an apply makes live for the first time has weight 0 and holds nothing: raise it in steps with --weight.
What is not named stays as it is.`,
    )
    .action(
      withSession((session, worldId: string, name: string, options: ActivationOptions) =>
        updateActivation(session, worldId, name, options),
      ),
    );

  world
    .command("deactivate <world> <strategy>")
    .description("switch a strategy off at once; switching on needs apply")
    .addOption(side())
    .addHelpText("after", "\nExample:\n  qmtl world deactivate demo momentum --reason 'bad fills'")
    .option("--reason <text>", "reason; kept in the audit", "switched off by the operator")
    .action(
      withSession((session, worldId: string, name: string, options: ActivationOptions) =>
        deactivate(session, worldId, name, options),
      ),
    );
}

async function updateActivation(
  session: CommandSession,
  worldId: string,
  name: string,
  { side, weight, freeze, drain, reason }: ActivationOptions,
): Promise<void> {
  if (weight === undefined && freeze === undefined && drain === undefined)
    throw new CommandError(
      "nothing to change",
      ExitCode.usage,
      `give --weight, --freeze or --drain; \`qmtl world apply ${worldId} --run ID --to MODE --activate ${name}\` switches it on`,
    );
  const strategyId = await session.strategyId(worldId, name);
  const answer = await session.client(ActivationService).updateActivation({
    worldId,
    strategyId,
    sides: side === undefined ? Object.values(SIDES) : [SIDES[side]!],
    reason,
    ...(weight === undefined ? {} : { weight }),
    ...(freeze === undefined ? {} : { freeze }),
    ...(drain === undefined ? {} : { drain }),
  });
  if (session.asJson)
    return printJson({
      world_id: worldId,
      strategy_id: strategyId,
      ...(jsonOf(UpdateActivationResponseSchema, answer) as object),
    });
  printSides(answer.activations);
  if (answer.activations.some(({ activation }) => activation?.active)) return;
  const hint = `\`qmtl world apply ${worldId} --run ID --to MODE --activate ${name}\``;
  printNote(`${name} is off in ${worldId}; ${hint} switches it on`, session.asJson);
}

async function deactivate(
  session: CommandSession,
  worldId: string,
  name: string,
  { side, reason }: ActivationOptions,
): Promise<void> {
  const strategyId = await session.strategyId(worldId, name);
  const answer = await session.client(ActivationService).deactivate({
    worldId,
    strategyId,
    side: side === undefined ? Side.UNSPECIFIED : SIDES[side]!,
    reason,
  });
  if (session.asJson)
    return printJson({
      world_id: worldId,
      strategy_id: strategyId,
      ...(jsonOf(DeactivateResponseSchema, answer) as object),
    });
  printSides(answer.activations);
}

function printSides(activations: readonly ActivationEnvelope[]): void {
  for (const { activation: each } of activations)
    console.log(
      `${enumName(Side, each?.side ?? 0)}: ${each?.active ? "on" : "off"}, weight ${each?.weight}${each?.freeze ? ", frozen" : ""}${each?.drain ? ", draining" : ""}`,
    );
}
