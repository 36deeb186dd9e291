import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { nearestName } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/errors";
import { ExitCode, RefusalError } from "./exit-codes.ts";
import { allOf } from "./pages-of.ts";
import type { CommandSession } from "./session.ts";

/** Largest number of names in one hint. */
const suggestionsMax = 10;

/** Hint for an unknown name: the nearest known one, or the first few. */
export function suggestionFor(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  if (near !== undefined) return `did you mean ${near}?`;
  if (known.length === 0) return "there is none yet;";
  const more = known.length > suggestionsMax ? ", …" : "";
  return `there is ${known.slice(0, suggestionsMax).join(", ")}${more};`;
}

/** A strategy name that a world does not have. */
export function unknownStrategy(
  worldId: string,
  name: string,
  known: readonly string[],
): RefusalError {
  return new RefusalError(
    `world ${worldId} has no strategy named ${name}`,
    ExitCode.refused,
    `${suggestionFor(name, known)} \`qmtl world show ${worldId}\` shows its strategies`,
    "STRATEGY_NOT_FOUND",
  );
}

/** Adds a hint to the failure of an unknown world, account or strategy: the nearest name, or the id of a given name. */
export async function withSuggestion(
  session: Pick<CommandSession, "client">,
  failure: unknown,
): Promise<unknown> {
  if (!(failure instanceof QmtlError)) return failure;
  const { world_id: worldId, account_id: accountId, strategy, strategy_id: id } = failure.metadata;
  if (failure.reason === "STRATEGY_NOT_FOUND" && strategy !== undefined && id !== undefined) {
    return refusal(
      failure,
      `the last strategy submitted under the name ${strategy} is ${id}: give that id`,
    );
  }
  try {
    if (failure.reason === "WORLD_NOT_FOUND" && worldId !== undefined) {
      const shown = "`qmtl world list` lists the worlds there are";
      return refusal(failure, `${suggestionFor(worldId, await worldsOf(session))} ${shown}`);
    }
    if (failure.reason === "ACCOUNT_NOT_FOUND" && accountId !== undefined) {
      const shown = "`qmtl account list` shows the accounts of the gateway";
      return refusal(failure, `${suggestionFor(accountId, await accountsOf(session))} ${shown}`);
    }
    return failure;
  } catch {
    return failure; // a hint that cannot be had must not hide the failure
  }
}

function refusal(failure: QmtlError, hint: string): RefusalError {
  return new RefusalError(failure.message, ExitCode.refused, hint, failure.reason);
}

function worldsOf(session: Pick<CommandSession, "client">): Promise<string[]> {
  const worlds = session.client(WorldService);
  return allOf(
    (pageToken) => worlds.listWorlds({ pageSize: 1000, pageToken }, { timeoutMs: 2_000 }),
    (page) => page.worlds.map((world) => world.worldId),
  );
}

async function accountsOf(session: Pick<CommandSession, "client">): Promise<string[]> {
  const { accounts } = await session.client(AccountService).listAccounts({}, { timeoutMs: 2_000 });
  return accounts.map((each) => each.accountId);
}
