import { blake3Hex } from "@qmtl/core/canonical";
import {
  AccountCore,
  type PretradeLimits,
  type SealedReturn,
  UnknownInstrument,
} from "@qmtl/core/execution";
import { type FieldViolation, QmtlError } from "@qmtl/sdk/rpc";
import type { Queryable } from "@qmtl/service-kit/db";
import type { AccountSettings } from "./account-settings.ts";
import type { JournalOp } from "./journal-op.ts";
import { readJournal, replayJournal } from "./journal-store.ts";
import { Market } from "./market.ts";
import { missingInstrument, RecordedSettings } from "./recorded-settings.ts";
import { ReplayedOrders } from "./replayed-orders.ts";

/** What replay found that must be told again after a restart. */
export interface SealedBar {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  readonly worlds: readonly string[];
  readonly sealed: readonly SealedReturn[];
}

/** What the journal of an account gives. */
export interface RebuiltBooks {
  readonly core: AccountCore;
  readonly market: Market;
  readonly recorded: RecordedSettings;
  /** Last bars of the journal, newest last. */
  readonly sealedBars: SealedBar[];
  /** Executed rebalances of the journal. */
  readonly rebalances: Extract<JournalOp, { op: "rebalance" }>["input"][];
  /** Of the last comparison with the broker; undefined before the first. */
  readonly difference: string | undefined;
  /** Number of the last entry, 0 for none. */
  readonly head: number;
}

const sealedBarsMax = 64;

/** The core of an account without any operation. */
export function emptyCore(
  { account, instruments, initialCash, limits }: AccountSettings,
  limitsBefore: PretradeLimits = limits,
): AccountCore {
  return new AccountCore({
    ...{ account, instruments, initialCash },
    limits: limitsBefore,
    hashHex: blake3Hex,
  });
}

/**
 * Replays the journal of an account. What an operation was decided under comes from the journal, the rest from the
 * configuration, which must be what the books count with.
 *
 * @throws {QmtlError} CONFIG_INVALID naming each key under which other books would come of it
 */
export async function rebuildBooks(
  db: Queryable,
  settings: AccountSettings,
): Promise<RebuiltBooks> {
  const { account } = settings;
  const core = emptyCore(settings, await firstLimits(db, account));
  const market = new Market();
  const recorded = new RecordedSettings();
  const orders = new ReplayedOrders();
  const sealedBars: SealedBar[] = [];
  const rebalances: RebuiltBooks["rebalances"] = [];
  let lastDifference: string | undefined;
  const take = (op: JournalOp, entry: number): void => {
    const outcome = applyTo(core, op, account);
    orders.take(entry, op, outcome);
    const { sealed = [], difference } = outcome;
    lastDifference = difference ?? lastDifference;
    if (op.op === "settings") recorded.take(op);
    if (op.op === "rebalance") rebalances.push(op.input);
    if (op.op !== "bar") return;
    market.take(op);
    sealedBars.push({ ...op, sealed });
    if (sealedBars.length > sealedBarsMax) sealedBars.shift();
  };
  const head = await replayJournal(db, account, take);
  const traded = new Set(core.books().map(({ instrument }) => instrument));
  const contradictions = recorded.contradictionsOf(settings, (symbol) => traded.has(symbol));
  if (contradictions.length > 0) throw contradicted(contradictions);
  if (orders.difference !== undefined)
    throw contradicted([otherOrders(account, orders.difference)]);
  return { core, market, recorded, sealedBars, rebalances, difference: lastDifference, head };
}

/**
 * Limits before the first entry that tells some; undefined when none does. A journal that was begun without telling
 * them had those it tells first.
 */
async function firstLimits(db: Queryable, account: string): Promise<PretradeLimits | undefined> {
  const [first] = await readJournal(db, account, 0, 1, ["settings"]);
  if (first === undefined) return undefined;
  const op = JSON.parse(first.bodyJson) as JournalOp;
  return op.op === "settings" ? op.limits : undefined;
}

function applyTo(core: AccountCore, op: JournalOp, account: string) {
  try {
    return core.apply(op);
  } catch (failure) {
    if (!(failure instanceof UnknownInstrument)) throw failure;
    throw contradicted([missingInstrument(account, failure.symbol)]);
  }
}

function otherOrders(account: string, difference: string): FieldViolation {
  return {
    field: `accounts.${account}`,
    description: `does not give the orders that its journal has (${difference}): put back the limits, lots and multipliers that it traded with`,
  };
}

function contradicted(fields: readonly FieldViolation[]): QmtlError {
  const message = fields.map(({ field, description }) => `${field} ${description}`).join("; ");
  return new QmtlError("CONFIG_INVALID", message, { fields });
}
