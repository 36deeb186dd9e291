import type { Queryable } from "@qmtl/service-kit/db";

/** A strategy of a world whose context is to follow its binding. */
export interface Unbinding {
  readonly worldId: string;
  readonly strategyId: string;
}

/** An unbinding that this process has claimed. */
export interface ClaimedUnbinding extends Unbinding {
  readonly asked: number;
  readonly askedMs: number;
  /** Its context may be closed. */
  readonly mayBeClosed: boolean;
}

/**
 * Call it before a binding is removed, so that it is checked whatever the outcome of the removal. Resolves to the
 * number of checks asked for.
 */
export async function noteUnbinding(
  db: Queryable,
  { worldId, strategyId }: Unbinding,
  nowMs: number,
): Promise<number> {
  const [row] = await db.query<{ asked: number }>(
    `insert into gateway.unbinding as u (world_id, strategy_id, asked_ms) values ($1, $2, $3)
     on conflict (world_id, strategy_id) do update set asked = u.asked + 1, asked_ms = excluded.asked_ms, is_due = true
     returning asked`,
    [worldId, strategyId, nowMs],
  );
  return row!.asked;
}

/** Call it when the removal was refused: the unbinding is forgotten, unless there is more to check. */
export async function withdrawUnbinding(
  db: Queryable,
  { worldId, strategyId }: Unbinding,
  asked: number,
): Promise<void> {
  await db.query(
    `delete from gateway.unbinding where world_id = $1 and strategy_id = $2 and asked = $3
       and not may_be_closed`,
    [worldId, strategyId, asked],
  );
}

/** Asks for another check of those that were unbound before; resolves to them. */
export async function recheckUnbindings(
  db: Queryable,
  worldId: string,
  strategyIds: readonly string[],
  nowMs: number,
): Promise<Unbinding[]> {
  return db.query<Unbinding>(
    `update gateway.unbinding set asked = asked + 1, asked_ms = $3, is_due = true
     where world_id = $1 and strategy_id = any($2::text[])
     returning world_id as "worldId", strategy_id as "strategyId"`,
    [worldId, [...strategyIds], nowMs],
  );
}

/** Unbindings that are due and claimed by no process, oldest first, at most 100. */
export function dueUnbindings(db: Queryable, nowMs: number): Promise<Unbinding[]> {
  return db.query<Unbinding>(
    `select world_id as "worldId", strategy_id as "strategyId" from gateway.unbinding
     where is_due and owned_until_ms < $1 order by asked_ms limit 100`,
    [nowMs],
  );
}

/** Claims one that is due, for `ownMs`; undefined when it is not due or another process has claimed it. */
export async function claimUnbinding(
  db: Queryable,
  { worldId, strategyId }: Unbinding,
  owner: string,
  times: { readonly nowMs: number; readonly ownMs: number },
): Promise<ClaimedUnbinding | undefined> {
  const [row] = await db.query<ClaimedUnbinding>(
    `update gateway.unbinding set owner = $3, owned_until_ms = $4::bigint + $5::bigint
     where world_id = $1 and strategy_id = $2 and is_due and owned_until_ms < $4::bigint
     returning world_id as "worldId", strategy_id as "strategyId", asked, asked_ms as "askedMs",
       may_be_closed as "mayBeClosed"`,
    [worldId, strategyId, owner, times.nowMs, times.ownMs],
  );
  return row;
}

/** Set to true before a context is closed, and to false after it was opened. */
export async function setMayBeClosed(
  db: Queryable,
  { worldId, strategyId }: Unbinding,
  mayBeClosed: boolean,
): Promise<void> {
  await db.query(
    "update gateway.unbinding set may_be_closed = $3 where world_id = $1 and strategy_id = $2",
    [worldId, strategyId, mayBeClosed],
  );
}

/** Gives a claim back: done with, to be checked again, or kept because its context is closed. */
export async function releaseUnbinding(
  db: Queryable,
  { worldId, strategyId, asked }: Pick<ClaimedUnbinding, "worldId" | "strategyId" | "asked">,
  owner: string,
  end: "done" | "again" | "closed",
): Promise<void> {
  const key = [worldId, strategyId, owner];
  const own = "world_id = $1 and strategy_id = $2 and owner = $3";
  if (end === "done") {
    await db.query(`delete from gateway.unbinding where ${own} and asked = $4`, [...key, asked]);
  }
  await db.query(
    `update gateway.unbinding set owner = null, owned_until_ms = 0, is_due = is_due and ($4 or asked <> $5)
     where ${own}`,
    [...key, end === "again", asked],
  );
}
