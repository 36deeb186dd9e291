import { QmtlError } from "@qmtl/sdk/rpc";
import type { Worlds } from "../world/worlds.ts";
import { shareTolerance } from "./share-tolerance.ts";

/** Refuses shares of one account's equity that would sum above 1. @throws {QmtlError} ALLOCATION_INVALID */
export function checkAccountSum(
  worlds: Worlds,
  accountId: string,
  wanted: ReadonlyMap<string, number>,
): void {
  if (accountId === "") return;
  const others = worlds
    .all()
    .map((actor) => actor.state.world)
    .filter((w) => w.settings.accountId === accountId && !wanted.has(w.settings.worldId));
  const sum = [...wanted.values(), ...others.map((w) => w.allocation)].reduce((a, b) => a + b, 0);
  if (sum <= 1 + shareTolerance) return;
  throw new QmtlError(
    "ALLOCATION_INVALID",
    `allocations of account ${accountId} would sum to ${sum}, above 1`,
    { fields: [{ field: "allocations", description: "must not sum above 1 in one account" }] },
  );
}
