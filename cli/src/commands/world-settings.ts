import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  DemotePolicy,
  LeaseLostPolicy,
  type World,
  WorldClock,
  WorldSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/errors";
import { type Command, Option } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { integerIn, numberIn } from "../option-values.ts";
import { printJson } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

/** What can be set when a world is created, and changed later. Absent: the default, or no change. */
interface SettingOptions {
  name?: string;
  account?: string;
  allocation?: number;
  maxLagDays?: number;
  decisionTtl?: number;
  onDemote?: string;
  onLeaseLost?: string;
  allowLive?: boolean;
  reduceOnlyWhenShut?: boolean;
}

interface CreateOptions extends SettingOptions {
  clock: string;
  source?: string;
}

const DEMOTE_POLICIES: Readonly<Record<string, DemotePolicy>> = {
  flat: DemotePolicy.FLAT,
  keep: DemotePolicy.KEEP,
};
const LEASE_LOST_POLICIES: Readonly<Record<string, LeaseLostPolicy>> = {
  cancel_opening: LeaseLostPolicy.CANCEL_OPENING,
  hold: LeaseLostPolicy.HOLD,
  flatten: LeaseLostPolicy.FLATTEN,
};

/** `qmtl world create|update|delete`. */
export function addSettingsCommands(world: Command): void {
  const create = world
    .command("create <world>")
    .description("create a world: gate open, nothing active")
    .addOption(
      new Option("--clock <clock>", "clock of the world: wall time, or the time of a replay feed")
        .choices(["wall", "replay"])
        .default("wall"),
    )
    .option("--source <name>", "feed whose bars seal returns, and the clock of a replay world");
  addSettingOptions(create)
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world create demo --clock replay --source sp500 --account paper",
    )
    .action(withSession(createWorld));

  const update = world
    .command("update <world>")
    .description("change settings; a mode that they no longer allow is lowered at once");
  addSettingOptions(update)
    .option("--no-allow-live", "from now on no policy reaches live")
    .option("--no-reduce-only-when-shut", "no order leaves while the gate is shut")
    .addHelpText("after", "\nExample:\n  qmtl world update demo --allocation 0.5 --max-lag-days 3")
    .action(withSession(updateWorld));

  world
    .command("delete <world>")
    .description("delete a world in which nothing is active")
    .option("--yes", "confirm; a deleted world cannot be restored")
    .addHelpText("after", "\nExample:\n  qmtl world delete demo --yes")
    .action(
      withSession(async (session, worldId: string, options: { yes?: boolean }) => {
        if (options.yes !== true)
          throw new CommandError(
            `world ${worldId}, its policies and its audit would be deleted`,
            ExitCode.usage,
            "give --yes if that is intended",
          );
        await session.client(WorldService).deleteWorld({ worldId });
        if (session.asJson) return printJson({ world_id: worldId, deleted: true });
        console.log(`world ${worldId} deleted`);
      }),
    );
}

function addSettingOptions(command: Command): Command {
  return command
    .option("--account <id>", "account it trades on")
    .option("--name <text>", "name for people")
    .addOption(
      new Option(
        "--on-demote <what>",
        "positions of a lowered strategy (new worlds: flat)",
      ).choices(Object.keys(DEMOTE_POLICIES)),
    )
    .addOption(
      new Option(
        "--on-lease-lost <what>",
        "orders of a runner that is gone (new worlds: cancel_opening)",
      ).choices(Object.keys(LEASE_LOST_POLICIES)),
    )
    .option(
      "--allocation <ratio>",
      "share of the account's equity, 0..1 (new worlds: 1)",
      numberIn({ min: 0, max: 1 }),
    )
    .option(
      "--max-lag-days <days>",
      "data older than this lowers the mode to compute-only (new worlds: 7)",
      numberIn({ min: 0 }),
    )
    .option(
      "--decision-ttl <seconds>",
      "life of a decision (new worlds: 300)",
      integerIn({ min: 1, max: 86_400 }),
    )
    .option("--allow-live", "let policies reach live; needs the role of an owner")
    .option(
      "--reduce-only-when-shut",
      "direct orders with reduce_only may leave while the gate is shut; a halt refuses them",
    );
}

async function createWorld(
  session: CommandSession,
  worldId: string,
  { clock, source = "", allocation = 1, ...options }: CreateOptions,
): Promise<void> {
  const service = session.client(WorldService);
  await service.createWorld({
    requestId: randomUUID(),
    world: {
      worldId,
      clock: clock === "replay" ? WorldClock.REPLAY : WorldClock.WALL,
      source,
      ...settingsFrom(options).world,
    },
  });
  try {
    await allocate(session, worldId, allocation, "share of a new world");
  } catch (failure) {
    if (!(failure instanceof QmtlError)) throw failure;
    throw new CommandError(
      `world ${worldId} is created, but without capital: ${failure.message}`,
      ExitCode.refused,
      `\`qmtl world update ${worldId} --allocation RATIO\` gives it a share`,
    );
  }
  const { world } = await service.getWorld({ worldId });
  print(session, world, "made");
}

/** Sets the share of its account's equity a world has; its strategies keep their shares. */
async function allocate(
  session: CommandSession,
  worldId: string,
  ratio: number,
  reason: string,
): Promise<void> {
  const allocations = [{ worldId, ratio }];
  await session
    .client(RebalancingService)
    .upsertAllocations({ requestId: randomUUID(), allocations, reason });
}

async function updateWorld(
  session: CommandSession,
  worldId: string,
  options: SettingOptions,
): Promise<void> {
  const { world, paths } = settingsFrom(options);
  const { allocation } = options;
  if (paths.length === 0 && allocation === undefined)
    throw new CommandError(
      "nothing to change",
      ExitCode.usage,
      "`qmtl world update --help` shows what can be changed",
    );
  const service = session.client(WorldService);
  if (paths.length > 0)
    await service.updateWorld({ world: { worldId, ...world }, updateMask: { paths } });
  if (allocation !== undefined) await allocate(session, worldId, allocation, "share of the world");
  const { world: now } = await service.getWorld({ worldId });
  print(session, now, "changed");
}

/** The fields that were given, and their names for an update mask. */
function settingsFrom(options: SettingOptions): {
  readonly world: MessageInitShape<typeof WorldSchema>;
  readonly paths: string[];
} {
  const { maxLagDays, decisionTtl, onDemote, onLeaseLost } = options;
  const given = {
    display_name: options.name === undefined ? undefined : { displayName: options.name },
    account_id: options.account === undefined ? undefined : { accountId: options.account },
    on_demote: onDemote === undefined ? undefined : { onDemote: DEMOTE_POLICIES[onDemote]! },
    on_lease_lost:
      onLeaseLost === undefined ? undefined : { onLeaseLost: LEASE_LOST_POLICIES[onLeaseLost]! },
    allow_live: options.allowLive === undefined ? undefined : { allowLive: options.allowLive },
    reduce_only_when_shut:
      options.reduceOnlyWhenShut === undefined
        ? undefined
        : { reduceOnlyWhenShut: options.reduceOnlyWhenShut },
    max_lag:
      maxLagDays === undefined
        ? undefined
        : { maxLag: durationFromMs(Math.max(1, Math.round(maxLagDays * 86_400)) * 1_000) },
    decision_ttl:
      decisionTtl === undefined ? undefined : { decisionTtl: durationFromMs(decisionTtl * 1_000) },
  };
  const set = Object.entries(given).filter(([, part]) => part !== undefined);
  return {
    world: Object.assign({}, ...set.map(([, part]) => part)),
    paths: set.map(([path]) => path),
  };
}

function print(session: CommandSession, world: World | undefined, what: string): void {
  if (!world) throw new CommandError("the response contains no world");
  if (session.asJson) {
    printJson(jsonOf(WorldSchema, world));
    return;
  }
  console.log(`world ${world.worldId} ${what}`);
}
