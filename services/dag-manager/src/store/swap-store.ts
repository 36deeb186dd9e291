import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { appendControlEvent, worldTopicKey } from "@qmtl/service-kit/control";
import type { Queryable, Tx } from "@qmtl/service-kit/db";

const phaseNames: Readonly<Record<number, string>> = {
  [SwapPhase.OPENING]: "OPENING",
  [SwapPhase.PREPARE]: "PREPARE",
  [SwapPhase.COMMIT]: "COMMIT",
  [SwapPhase.ABORTED]: "ABORTED",
};

function phaseNameOf({ swapId, phase }: ContextSwap): string {
  const name = phaseNames[phase];
  if (name === undefined) throw new Error(`swap ${swapId} has no known phase: ${phase}`);
  return name;
}

export async function nextSwapId(tx: Tx): Promise<string> {
  const [row] = await tx.query<{ count: number }>("select count(*) as count from dag.context_swap");
  return `swap-${row!.count + 1}`;
}

/** Writes a swap as it stands now, and publishes it. */
export async function writeSwap(tx: Tx, swap: ContextSwap, nowMs: number): Promise<void> {
  const { swapId, strategyId, worldId } = swap;
  await tx.query(
    `insert into dag.context_swap (swap_id, strategy_id, world_id, phase, from_row, encoded, created_ms)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (swap_id) do update set phase = excluded.phase, from_row = excluded.from_row,
       encoded = excluded.encoded`,
    [
      swapId,
      strategyId,
      worldId,
      phaseNameOf(swap),
      swap.fromRow,
      toBinary(ContextSwapSchema, swap),
      nowMs,
    ],
  );
  const payload = { case: "swapUpdated" as const, value: swap };
  const topicKey = worldTopicKey(worldId, "queue");
  await appendControlEvent(tx, "dag", { topicKey, subject: strategyId, payload }, nowMs);
}

/** Swaps that are not decided yet, oldest first. */
export async function openSwaps(db: Queryable): Promise<ContextSwap[]> {
  const rows = await db.query<{ encoded: Uint8Array }>(
    "select encoded from dag.context_swap where phase in ('OPENING', 'PREPARE') order by ordinal",
  );
  return rows.map((row) => fromBinary(ContextSwapSchema, row.encoded));
}

/** The newest committed swap of a strategy in a world. */
export async function lastCommittedSwap(
  db: Queryable,
  strategyId: string,
  worldId: string,
): Promise<ContextSwap | undefined> {
  const [row] = await db.query<{ encoded: Uint8Array }>(
    `select encoded from dag.context_swap where strategy_id = $1 and world_id = $2 and phase = 'COMMIT'
     order by ordinal desc limit 1`,
    [strategyId, worldId],
  );
  return row === undefined ? undefined : fromBinary(ContextSwapSchema, row.encoded);
}

export async function swapById(db: Queryable, swapId: string): Promise<ContextSwap | undefined> {
  const [row] = await db.query<{ encoded: Uint8Array }>(
    "select encoded from dag.context_swap where swap_id = $1",
    [swapId],
  );
  return row === undefined ? undefined : fromBinary(ContextSwapSchema, row.encoded);
}
