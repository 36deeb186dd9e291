import { createHash } from "node:crypto";
import { exactJson, parseExactJson } from "@qmtl/core/canonical";
import {
  type RouterSnapshot,
  type SnapshotRow,
  SnapshotUnreadable,
  snapshotOfRows,
  snapshotRows,
} from "@qmtl/core/execution";
import type { JournalOp } from "../store/journal-op.ts";
import type { JournalEntryRow } from "../store/journal-store.ts";
import type { SnapshotKey } from "../store/snapshot-store.ts";
import type { AccountSettings } from "./account-settings.ts";
import type { MarketSnapshot } from "./booked-marks.ts";
import type { ExecutedRebalance, SealedSlice } from "./rebuild-books.ts";

/**
 * Format of the pieces. Raise it when pieces hold something else, and when an operation has another effect on the core
 * of an account: a snapshot of another format is not used. Those of format 4 lacked the last rows of funding.
 */
export const snapshotFormat = 5;

/**
 * Approximate length of a piece, in characters: small, because a booking may wait while one piece is made and stored.
 */
const pieceLength = 131_072;

/**
 * State of an account at an entry of its journal, and what else a start needs to begin there. No field is optional: one
 * that is not written, or not read back, does not compile.
 */
export interface AccountSnapshot extends SnapshotKey {
  /** Hash of that entry; in another journal it differs. */
  readonly entryHash: string;
  /** Settings that the core calculates with. */
  readonly basis: SnapshotBasis;
  readonly core: RouterSnapshot;
  readonly market: MarketSnapshot;
  /** Settings as the journal records them. */
  readonly recorded: Extract<JournalOp, { op: "settings" }>;
  readonly sealedSlices: readonly SealedSlice[];
  /** Executed rebalances that may not have reached the broker. */
  readonly rebalances: readonly ExecutedRebalance[];
  /** Difference from the broker when they were last compared; empty for none. */
  readonly difference: string;
  /** Executions of the broker up to here are booked. */
  readonly sequence: number;
}

/** The settings of an account that the core calculates with and no entry of the journal changes. */
interface SnapshotBasis {
  readonly initialCash: number;
  readonly currency: string;
  readonly instruments: readonly {
    readonly symbol: string;
    readonly lotSize: string;
    readonly multiplier: number;
  }[];
}

export function basisOf({ initialCash, currency, instruments }: AccountSettings): SnapshotBasis {
  const counted = instruments.map(({ symbol, lotSize, multiplier = 1 }) => {
    return { symbol, lotSize, multiplier };
  });
  return { initialCash, currency, instruments: counted };
}

/** Whether a snapshot was made under the settings as they are now. New instruments do not matter. */
export function isBasisOf(basis: SnapshotBasis, settings: AccountSettings): boolean {
  const { instruments, ...money } = basisOf(settings);
  const now = new Map(instruments.map((one) => [one.symbol, exactJson(one)]));
  const { instruments: before, ...moneyBefore } = basis;
  return (
    exactJson(money) === exactJson(moneyBefore) &&
    before.every((one) => now.get(one.symbol) === exactJson(one))
  );
}

/** SHA-256 of a stored entry, lower-case hex. */
export function hashOfEntry(row: JournalEntryRow): string {
  const { entry, kind, worldId, strategyId, row: sourceRow, bodyJson, timeMs } = row;
  const text = JSON.stringify([entry, kind, worldId, strategyId, sourceRow, bodyJson, timeMs]);
  return createHash("sha256").update(text).digest("hex");
}

/** The pieces that a snapshot is stored in. Each is made when it is asked for; equal snapshots have equal pieces. */
export function* snapshotPieces(snapshot: AccountSnapshot): Generator<string> {
  let texts: string[] = [];
  let length = 0;
  for (const row of rowsOf(snapshot)) {
    const text = exactJson(row);
    texts.push(text);
    length += text.length + 1;
    if (length < pieceLength) continue;
    yield `[${texts.join(",")}]`;
    texts = [];
    length = 0;
  }
  if (texts.length > 0) yield `[${texts.join(",")}]`;
}

/**
 * The snapshot that pieces were made from.
 *
 * @throws {SnapshotUnreadable | SyntaxError} for anything else
 */
export function snapshotOfPieces(pieces: readonly string[], key: SnapshotKey): AccountSnapshot {
  const rows = pieces.flatMap((piece) => listOf(parseExactJson(piece)).map(listOf));
  const [first, closesCount, slicesCount] = rows[0] ?? [];
  const isCounted = typeof closesCount === "number" && typeof slicesCount === "number";
  if (!isCounted || !isHead(first, key)) {
    throw new SnapshotUnreadable(`not of entry ${key.entry} of account ${key.account}`);
  }
  const { market, ...head } = first;
  const slicesFrom = 1 + closesCount;
  const coreFrom = slicesFrom + slicesCount;
  const closes = rows.slice(1, slicesFrom).map(closesOf);
  const sealedSlices = rows.slice(slicesFrom, coreFrom).map(sealedSliceOf);
  const core = snapshotOfRows(rows.slice(coreFrom), key.account);
  return { ...head, market: { ...market, closes }, sealedSlices, core };
}

/** Everything but the long lists, so that what is added to a snapshot is in it without further code. */
interface SnapshotHead extends Omit<AccountSnapshot, "core" | "market" | "sealedSlices"> {
  readonly market: Omit<MarketSnapshot, "closes">;
}

function* rowsOf(snapshot: AccountSnapshot): Generator<SnapshotRow> {
  const { core, market, sealedSlices, ...rest } = snapshot;
  const { closes, ...rows } = market;
  const head: SnapshotHead = { ...rest, market: rows };
  yield [head, closes.length, sealedSlices.length];
  for (const [instrument, own] of closes) {
    yield [instrument, own.map(({ bucket, close }) => [bucket, close])];
  }
  for (const slice of sealedSlices) yield [slice];
  yield* snapshotRows(core);
}

function isHead(value: unknown, { account, entry }: SnapshotKey): value is SnapshotHead {
  if (typeof value !== "object" || value === null) return false;
  return (
    "account" in value && value.account === account && "entry" in value && value.entry === entry
  );
}

function closesOf([instrument, pairs]: SnapshotRow): MarketSnapshot["closes"][number] {
  const closes = listOf(pairs).map((pair) => {
    const [bucket, close] = listOf(pair);
    return { bucket: Number(bucket), close: Number(close) };
  });
  return [String(instrument), closes];
}

function sealedSliceOf([slice]: SnapshotRow): SealedSlice {
  if (!isSealedSlice(slice)) throw new SnapshotUnreadable("a row is no slice");
  return slice;
}

function isSealedSlice(value: unknown): value is SealedSlice {
  return typeof value === "object" && value !== null && "sealed" in value && "bucket" in value;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new SnapshotUnreadable("a row is no list");
  return value;
}
