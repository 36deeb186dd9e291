import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { nearestName } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/errors";
import { ExitCode, RefusalError } from "./exit-codes.ts";
import { allOf } from "./pages-of.ts";
import type { CommandSession } from "./session.ts";

/** Names told in one hint at most. */
const namesToldMax = 10;

/** What a name that is not known is answered with: the nearest one, or the first few there are. */
export function suggestionFor(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  if (near !== undefined) return `did you mean ${near}?`;
  if (known.length === 0) return "there is none yet;";
  const more = known.length > namesToldMax ? ", …" : "";
  return `there is ${known.slice(0, namesToldMax).join(", ")}${more};`;
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

/** A failure, with the nearest world in its hint when it is that there is no such world. */
export async function withSuggestion(
  session: Pick<CommandSession, "client">,
  failure: unknown,
): Promise<unknown> {
  if (!(failure instanceof QmtlError) || failure.reason !== "WORLD_NOT_FOUND") return failure;
  const worldId = failure.metadata.world_id;
  if (worldId === undefined) return failure;
  try {
    const worlds = session.client(WorldService);
    const known = await allOf(
      (pageToken) => worlds.listWorlds({ pageSize: 1000, pageToken }, { timeoutMs: 2_000 }),
      (page) => page.worlds.map((world) => world.worldId),
    );
    const hint = `${suggestionFor(worldId, known)} \`qmtl world list\` shows the worlds there are`;
    return new RefusalError(failure.message, ExitCode.refused, hint, failure.reason);
  } catch {
    return failure; // a hint that cannot be had must not hide the failure
  }
}
