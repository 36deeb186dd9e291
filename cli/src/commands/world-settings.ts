import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import {
  type World,
  WorldClock,
  WorldSchema,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type Command, Option } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { jsonOf } from "../json-of.ts";
import { integerIn, numberIn } from "../option-values.ts";
import { printJson, printNote } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";
import { suggestionFor } from "../suggest-name.ts";

/** What can be set when a world is made and changed later; absent: as it is, or the default. */
interface SettingOptions {
  name?: string;
  account?: string;
  source?: string;
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
}

/** `qmtl world create|update|delete`. */
export function addSettingsCommands(world: Command): void {
  const create = world
    .command("create <world>")
    .description("make a world: gate open, nothing active")
    .addOption(
      new Option("--clock <clock>", "whose time it lives in")
        .choices(["wall", "replay"])
        .default("wall"),
    );
  addSettingOptions(create)
    .addHelpText(
      "after",
      "\nExample:\n  qmtl world create demo --clock replay --source sp500 --account paper",
    )
    .action(withSession(createWorld));

  const update = world
    .command("update <world>")
    .description("change settings; a mode they allow no longer is lowered at once");
  addSettingOptions(update)
    .option("--no-allow-live", "no policy reaches live from now on")
    .option("--no-reduce-only-when-shut", "nothing leaves while the gate is shut")
    .addHelpText("after", "\nExample:\n  qmtl world update demo --allocation 0.5 --max-lag-days 3")
    .action(withSession(updateWorld));

  world
    .command("delete <world>")
    .description("delete a world in which nothing is active")
    .option("--yes", "it is meant; a deleted world does not come back")
    .addHelpText("after", "\nExample:\n  qmtl world delete demo --yes")
    .action(
      withSession(async (session, worldId: string, options: { yes?: boolean }) => {
        if (options.yes !== true)
          throw new CommandError(
            `world ${worldId}, its policies and its audit would be gone`,
            ExitCode.usage,
            "say --yes if that is meant",
          );
        await session.client(WorldService).deleteWorld({ worldId });
        if (session.asJson) return printJson({ world_id: worldId, deleted: true });
        console.log(`world ${worldId} deleted`);
      }),
    );
}

function addSettingOptions(command: Command): Command {
  return command
    .option("--source <name>", "feed of a replay world, an entry of sources: in qmtl.yml")
    .option("--account <id>", "account it trades on")
    .option("--name <text>", "name for people")
    .addOption(
      new Option(
        "--on-demote <what>",
        "positions of a lowered strategy (new worlds: flat)",
      ).choices(["flat", "keep"]),
    )
    .addOption(
      new Option(
        "--on-lease-lost <what>",
        "orders of a runner that is gone (new worlds: cancel_opening)",
      ).choices(["cancel_opening", "hold", "flatten"]),
    )
    .option(
      "--allocation <ratio>",
      "share of the account's equity, 0..1 (new worlds: 1)",
      numberIn({ min: 0, max: 1 }),
    )
    .option(
      "--max-lag-days <days>",
      "older data lowers to compute-only (new worlds: 7)",
      numberIn({ min: 0 }),
    )
    .option(
      "--decision-ttl <seconds>",
      "life of a decision (new worlds: 300)",
      integerIn({ min: 1, max: 86_400 }),
    )
    .option("--allow-live", "let policies reach live")
    .option("--reduce-only-when-shut", "what only reduces may leave while the gate is shut");
}

async function createWorld(
  session: CommandSession,
  worldId: string,
  options: CreateOptions,
): Promise<void> {
  const { clock, allocation = 1, maxLagDays = 7, ...rest } = options;
  const { world } = await session.client(WorldService).createWorld({
    world: {
      worldId,
      clock: clock === "replay" ? WorldClock.REPLAY : WorldClock.WALL,
      ...settingsFrom({ ...rest, allocation, maxLagDays }),
    },
  });
  print(session, world, "made");
  if (options.account !== undefined) await noteAccount(session, worldId, options.account);
}

/** A world may be made before its account; one that is misspelt must not go unnoticed. */
async function noteAccount(
  session: CommandSession,
  worldId: string,
  accountId: string,
): Promise<void> {
  const { accounts } = await session
    .client(AccountService)
    .listAccounts({}, { timeoutMs: 2_000 })
    .catch(() => ({ accounts: undefined })); // the world is made; whether it may trade is told by others, too
  const known = accounts?.map((each) => each.accountId);
  if (known === undefined || known.includes(accountId)) return;
  const note = `the gateway has no account ${accountId} (${suggestionFor(accountId, known).replace(/;$/, "")}); ${worldId} trades nothing until it has`;
  printNote(note, session.asJson);
}

async function updateWorld(
  session: CommandSession,
  worldId: string,
  options: SettingOptions,
): Promise<void> {
  const settings = settingsFrom(options);
  if (Object.keys(settings).length === 0)
    throw new CommandError(
      "nothing to change",
      ExitCode.usage,
      "`qmtl world update --help` shows what can be changed",
    );
  const service = session.client(WorldService);
  const { world: before } = await service.getWorld({ worldId });
  if (!before) throw new CommandError("the answer holds no world");
  const { world: now } = await service.updateWorld({ world: { ...before, ...settings } });
  print(session, now, "changed");
}

/** Only what was given. */
function settingsFrom(options: SettingOptions) {
  const { maxLagDays, decisionTtl } = options;
  const settings = {
    displayName: options.name,
    source: options.source,
    accountId: options.account,
    allocation: options.allocation,
    onDemote: options.onDemote,
    onLeaseLost: options.onLeaseLost,
    allowLive: options.allowLive,
    reduceOnlyWhenShut: options.reduceOnlyWhenShut,
    // 0 on the wire means the default; the least there is is a second.
    maxLagSeconds:
      maxLagDays === undefined ? undefined : BigInt(Math.max(1, Math.round(maxLagDays * 86_400))),
    decisionTtlSeconds: decisionTtl === undefined ? undefined : BigInt(decisionTtl),
  };
  type Given = { [K in keyof typeof settings]?: NonNullable<(typeof settings)[K]> };
  return Object.fromEntries(
    Object.entries(settings).filter(([, value]) => value !== undefined),
  ) as Given;
}

function print(session: CommandSession, world: World | undefined, what: string): void {
  if (!world) throw new CommandError("the answer holds no world");
  if (session.asJson) {
    printJson(jsonOf(WorldSchema, world));
    return;
  }
  console.log(`world ${world.worldId} ${what}`);
}
