import type { Queryable } from "@qmtl/service-kit/db";
import type { EmitterRow, GateRow } from "../apply/index.ts";
import { parsePolicy } from "../policy/parse-policy.ts";
import { readDecisionAsOf, readEvaluation } from "../store/decision-table.ts";
import { readEmitters, readGate, readLastRun } from "../store/gate-table.ts";
import { readPolicy } from "../store/policy-table.ts";
import { readHeads } from "../store/returns-table.ts";
import { readBindings, readWorld } from "../store/world-table.ts";
import { seriesKey, type WorldState } from "./world-state.ts";

/** A world as stored, with its gate. */
interface LoadedWorld {
  readonly state: WorldState;
  readonly row: GateRow;
  readonly emitters: readonly EmitterRow[];
}

/** Reads all of a world that the leader keeps in memory; undefined when there is none. */
export async function readWorldState(
  db: Queryable,
  worldId: string,
): Promise<LoadedWorld | undefined> {
  const world = await readWorld(db, worldId);
  const gate = await readGate(db, worldId);
  if (world === undefined || gate === undefined) return undefined;
  const bindings = await readBindings(db, worldId);
  const heads = await readHeads(db, worldId);
  const stored =
    world.policyVersion > 0 ? await readPolicy(db, worldId, world.policyVersion) : undefined;
  const decision = await readDecisionAsOf(db, worldId, Number.MAX_SAFE_INTEGER);
  const state: WorldState = {
    world,
    bindings: new Map(bindings.map((binding) => [binding.strategyId, binding])),
    heads: new Map(heads.map((head) => [seriesKey(head.strategyId, head.domain), head])),
    policy: stored && { version: stored.version, policy: parsePolicy(stored.document) },
    lastEvaluation: await readEvaluation(db, worldId, ""),
    lastRun: await readLastRun(db, worldId),
    holdReasons: gate.holdReasons,
    composition: decision?.composition,
  };
  return { state, row: gate.row, emitters: await readEmitters(db, worldId) };
}
