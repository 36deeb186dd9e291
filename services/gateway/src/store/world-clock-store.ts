import type { Queryable, Tx } from "@qmtl/service-kit/db";

/** What a submission says of the clock of its worlds, when it is stored. */
export interface ClockClaim {
  /** Whether its sources are replayed; undefined without sources: then it goes with every world. */
  readonly isReplay: boolean | undefined;
  readonly worldIds: readonly string[];
  /** Revisions of the worlds that were read before it was checked that their clocks may change; others keep theirs. */
  readonly seen: Readonly<Record<string, number>>;
}

/**
 * Takes the clock of each world, in one order, as rows of a statement: only where it stays as it is, or is still as it
 * was when it was checked. The parameters are those of `clockParams`, from `$first` on.
 */
export function takeClocksSql(first: number): string {
  return `insert into gateway.world_clock as c (world_id, is_replay)
      select w, $${first}::boolean from unnest($${first + 1}::text[]) as w order by w
      on conflict (world_id) do update set is_replay = excluded.is_replay, revision = c.revision + 1
        where c.is_replay = excluded.is_replay or c.revision = ($${first + 2}::jsonb ->> c.world_id)::bigint
      returning world_id`;
}

export function clockParams({ isReplay, worldIds, seen }: ClockClaim) {
  const taken = isReplay === undefined ? [] : worldIds;
  return [isReplay ?? null, taken, JSON.stringify(seen)] as const;
}

/** Takes the clocks of all worlds of a submission; false when one of them is another's meanwhile. */
export async function takeClocks(tx: Tx, claim: ClockClaim): Promise<boolean> {
  const params = clockParams(claim);
  if (params[1].length === 0) return true;
  const taken = await tx.query(takeClocksSql(1), params);
  return taken.length === params[1].length;
}

/** Revisions of the clocks of worlds, by world; none for one that no submission has taken. */
export async function clockRevisions(
  db: Queryable,
  worldIds: readonly string[],
): Promise<Record<string, number>> {
  const rows = await db.query<{ world_id: string; revision: number }>(
    "select world_id, revision from gateway.world_clock where world_id = any($1::text[])",
    [worldIds],
  );
  return Object.fromEntries(rows.map(({ world_id, revision }) => [world_id, revision]));
}
