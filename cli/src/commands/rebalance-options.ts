import { type Command, Option } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { repeated } from "../option-values.ts";
import type { CommandSession } from "../session.ts";

/** A world's share of its account's equity, and how it is split. */
export interface WantedAllocation {
  readonly worldId: string;
  readonly ratio: number;
  readonly strategies: { strategyId: string; share: number }[];
}

/** An allocation as it was typed, its strategies still by name. */
interface TypedAllocation {
  readonly worldId: string;
  readonly ratio: number;
  readonly shares: readonly { readonly name: string; readonly share: number }[];
}

/** `--world WORLD=RATIO:STRATEGY=SHARE,…`, to be repeated. */
export function worldOption(): Option {
  return new Option(
    "--world <allocation>",
    "WORLD=RATIO or WORLD=RATIO:STRATEGY=SHARE,…; may be repeated",
  ).argParser<string[]>(repeated);
}

/** `--schema-version 1|2`: 2 brings alpha metrics. */
export function addSchemaVersionOption(command: Command): Command {
  return command.addOption(
    new Option(
      "--schema-version <version>",
      "highest schema version to ask for; 2 adds alpha metrics",
    )
      .choices(["1", "2"])
      .default("1"),
  );
}

/** The range a request states for `--schema-version N`: every version up to it. */
export function schemaRange(version: string): { min: number; max: number } {
  return { min: 1, max: Number(version) };
}

/**
 * `demo=0.9:trend=0.5,swing=0.5` → the allocation of a world. All texts are parsed before any name is looked up.
 *
 * @throws {CommandError} naming what is not a share of 0..1.
 */
export async function allocationsFrom(
  session: Pick<CommandSession, "strategyId">,
  texts: readonly string[],
): Promise<WantedAllocation[]> {
  const typed = texts.map(allocationFromText);
  return Promise.all(
    typed.map(async ({ worldId, ratio, shares }) => ({
      worldId,
      ratio,
      strategies: await Promise.all(
        shares.map(async ({ name, share }) => ({
          strategyId: await session.strategyId(worldId, name),
          share,
        })),
      ),
    })),
  );
}

function allocationFromText(text: string): TypedAllocation {
  const found = /^([^=:]+)=([^:]*)(?::(.+))?$/.exec(text);
  if (!found) throw notAnAllocation(text, "it has another form");
  const [, worldId = "", ratio = "", shares = ""] = found;
  return {
    worldId,
    ratio: shareFrom(text, worldId, ratio),
    shares: shares
      .split(",")
      .filter((each) => each !== "")
      .map((each) => {
        const [name = "", share = "", ...rest] = each.split("=");
        if (name === "" || rest.length > 0)
          throw notAnAllocation(text, `${each} is not STRATEGY=SHARE`);
        return { name, share: shareFrom(text, name, share) };
      }),
  };
}

function shareFrom(text: string, of: string, share: string): number {
  const value = /^\d*\.?\d+$/.test(share) ? Number(share) : Number.NaN;
  if (value >= 0 && value <= 1) return value;
  throw notAnAllocation(text, `${of}=${share} is not a share of 0..1`);
}

function notAnAllocation(text: string, why: string): CommandError {
  return new CommandError(
    `--world ${text}: ${why}`,
    ExitCode.usage,
    "write WORLD=RATIO or WORLD=RATIO:STRATEGY=SHARE,… such as demo=0.9:trend=0.5,swing=0.5",
  );
}
