import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type JournalEntrySchema, JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import type { JournalKind as StoredKind } from "../store/journal-op.ts";
import type { JournalEntryRow } from "../store/journal-store.ts";

const KINDS: Readonly<Record<StoredKind, JournalKind>> = {
  order: JournalKind.ORDER,
  order_state: JournalKind.ORDER_STATE,
  fill: JournalKind.FILL,
  target: JournalKind.TARGET,
  plain: JournalKind.DIRECT,
  gate: JournalKind.GATE,
  halt: JournalKind.HALT,
  resume: JournalKind.RESUME,
  allocation: JournalKind.ALLOCATION,
  capital: JournalKind.CAPITAL,
  cross: JournalKind.CROSS,
  demote: JournalKind.DEMOTION,
  adjustment: JournalKind.ADJUSTMENT,
  reconcile: JournalKind.RECONCILE,
  bar: JournalKind.BAR,
  settings: JournalKind.SETTINGS,
};

const STORED: ReadonlyMap<JournalKind, string> = new Map(
  Object.entries(KINDS).map(([stored, kind]) => [kind, stored]),
);

/** Kinds as they are stored. A planned kind is stored by nobody: the request check has refused it. */
export function storedKinds(kinds: readonly JournalKind[]): string[] {
  return kinds.flatMap((kind) => STORED.get(kind) ?? []);
}

/** An entry on the wire. */
export function entryToProto(
  account: string,
  row: JournalEntryRow,
): MessageInitShape<typeof JournalEntrySchema> {
  return {
    entry: BigInt(row.entry),
    accountId: account,
    kind: KINDS[row.kind],
    worldId: row.worldId,
    strategyId: row.strategyId,
    row: BigInt(row.row),
    bodyJson: row.bodyJson,
    createTime: timestampFromMs(row.timeMs),
  };
}
