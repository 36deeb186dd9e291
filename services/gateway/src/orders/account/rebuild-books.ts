import { blake3Hex } from "@qmtl/core/canonical";
import {
  AccountCore,
  type AccountOutcome,
  type PretradeLimits,
  type RouterOptions,
  type SealedReturn,
  UnknownInstrument,
} from "@qmtl/core/execution";
import type { FieldViolation } from "@qmtl/sdk/rpc";
import type { Logger } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import type { JournalOp } from "../store/journal-op.ts";
import { type JournalEntryRow, readJournal, replayJournal } from "../store/journal-store.ts";
import type { AccountSettings } from "./account-settings.ts";
import type { AccountSnapshot } from "./account-snapshot.ts";
import { BookedMarks } from "./booked-marks.ts";
import { newestSnapshot } from "./newest-snapshot.ts";
import { missingInstrument, RecordedSettings } from "./recorded-settings.ts";
import { contradicted } from "./takeover-settings.ts";

/** Returns that were sealed at the end of one slice; they are reported again after a restart. */
export interface SealedSlice {
  readonly bucket: number;
  readonly sealed: readonly SealedReturn[];
}

/** What of an executed rebalance has to reach the broker. */
export type ExecutedRebalance = Pick<
  Extract<JournalOp, { op: "rebalance" }>["input"],
  "batchId" | "crosses"
>;

/** State of an account as its journal gives it. */
export interface RebuiltBooks {
  readonly core: AccountCore;
  readonly market: BookedMarks;
  readonly recorded: RecordedSettings;
  /** Last sealed slices of the journal, newest last. */
  readonly sealedSlices: SealedSlice[];
  /** Executed rebalances that may not have reached the broker. */
  readonly rebalances: ExecutedRebalance[];
  /** Of the last comparison with the broker; undefined before the first. */
  readonly difference: string | undefined;
  /** Executions of the broker up to here are known to be booked; 0 when none is. */
  readonly sequence: number;
  /** Executions that the replayed entries booked: the core remembers the newest of them alone. */
  readonly executions: ReadonlySet<string>;
  /** The last entry; undefined for none. */
  readonly last: JournalEntryRow | undefined;
  /** Entry of the snapshot that replay began at; 0 for the whole journal. */
  readonly fromEntry: number;
}

/** Books that a replay continues from. */
type BegunBooks = Omit<RebuiltBooks, "last" | "executions">;

/**
 * Sealed slices whose returns may not have been answered yet, at most: no further slice is booked before. As many are
 * kept, to be reported again after a restart.
 */
export const sealedSlicesMax = 64;

/** Adds a slice to those whose returns are reported again, and drops the oldest beyond `sealedSlicesMax`. */
export function keepSealedSlice(slices: SealedSlice[], { bucket, sealed }: SealedSlice): void {
  if (sealed.length === 0) return;
  slices.push({ bucket, sealed });
  if (slices.length > sealedSlicesMax) slices.shift();
}

/** The core of an account without any operation. */
export function emptyCore(
  settings: AccountSettings,
  limitsBefore: PretradeLimits = settings.limits,
): AccountCore {
  return new AccountCore({ ...coreOptions(settings), limits: limitsBefore });
}

/**
 * Replays the journal of an account: what comes after its newest usable snapshot, or else all of it. What an operation
 * was decided under comes from the journal, the rest from the configuration, which must be the one that the books were
 * kept with (A10 and A23 in docs/internals/architecture.md).
 *
 * @throws {QmtlError} CONFIG_INVALID naming each key under which the books would come out differently
 */
export async function rebuildBooks(
  db: Queryable,
  settings: AccountSettings,
  logger: Logger,
): Promise<RebuiltBooks> {
  const { account } = settings;
  const start = await newestSnapshot(db, settings, logger);
  const { core, market, recorded, sealedSlices, rebalances, ...begun } =
    start === undefined ? await noBooks(db, settings) : booksOf(start.snapshot, settings);
  const orders = new ReplayedOrders();
  const executions = new Set<string>();
  let { difference: lastDifference } = begun;
  let last = start?.last;
  await replayJournal(db, account, begun.fromEntry, (op, row) => {
    const outcome = applyTo(core, op, account);
    orders.take(row.entry, op, outcome);
    last = row;
    const { sealed = [], difference } = outcome;
    lastDifference = difference ?? lastDifference;
    if (op.op === "fill") executions.add(op.fill.executionId);
    if (op.op === "settings") recorded.take(op);
    if (op.op === "rebalance") rebalances.push(op.input);
    if (op.op === "bar") market.take(op);
    if (op.op === "fund") market.fund(op);
    if (op.op === "bar" || op.op === "seal")
      keepSealedSlice(sealedSlices, { bucket: op.bucket, sealed });
  });
  const traded = new Set(core.books().map(({ instrument }) => instrument));
  const contradictions = recorded.contradictionsOf(settings, (symbol) => traded.has(symbol));
  if (contradictions.length > 0) throw contradicted(contradictions);
  if (orders.difference !== undefined)
    throw contradicted([otherOrders(account, orders.difference)]);
  return {
    ...{ ...begun, core, market, recorded, sealedSlices, rebalances },
    ...{ difference: lastDifference, executions, last },
  };
}

/** Books before any entry. */
async function noBooks(db: Queryable, settings: AccountSettings): Promise<BegunBooks> {
  return {
    core: emptyCore(settings, await firstLimits(db, settings.account)),
    ...{
      market: new BookedMarks(),
      recorded: new RecordedSettings(),
      sealedSlices: [],
      rebalances: [],
    },
    ...{ difference: undefined, sequence: 0, fromEntry: 0 },
  };
}

/** Books as a snapshot has them. */
function booksOf(snapshot: AccountSnapshot, settings: AccountSettings): BegunBooks {
  const recorded = new RecordedSettings();
  recorded.take(snapshot.recorded);
  const { difference, sequence, entry } = snapshot;
  return {
    ...{ core: new AccountCore(coreOptions(settings), snapshot.core), recorded },
    market: new BookedMarks(snapshot.market),
    sealedSlices: [...snapshot.sealedSlices],
    rebalances: [...snapshot.rebalances],
    ...{ difference, sequence, fromEntry: entry },
  };
}

function coreOptions({ account, instruments, initialCash }: AccountSettings): RouterOptions {
  return { account, instruments, initialCash, hashHex: blake3Hex };
}

/**
 * The limits that the first entry with limits names, which also hold for the entries before it; undefined when none
 * names any.
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

/**
 * Compares the orders that a replay makes with those that its journal says were made. Where they differ, the books are
 * not the ones that were traded on, even if positions and cash agree.
 */
class ReplayedOrders {
  /** Replayed orders that no journal entry has confirmed yet, with their lots and the entry that made them. */
  readonly #made = new Map<string, { readonly lots: number; readonly entry: number }>();
  #difference: string | undefined;

  take(entry: number, op: JournalOp, { effects }: AccountOutcome): void {
    for (const effect of effects) {
      if (effect.kind !== "send") continue;
      const { id, lots } = effect.order;
      this.#made.set(id, { lots, entry });
    }
    const told = op.op === "note" ? orderOf(op.order) : undefined;
    if (told === undefined) return;
    const lots = this.#made.get(told.id)?.lots;
    this.#made.delete(told.id);
    if (lots === told.lots) return;
    const now = lots === undefined ? "it is not made" : `it is of ${lots} lots`;
    this.#difference ??= `entry ${entry} made order ${told.id} of ${told.lots} lots, and now ${now}`;
  }

  /** The first difference, in words; undefined when all orders are the same. Read it after the last entry. */
  get difference(): string | undefined {
    const [other] = this.#made;
    if (this.#difference !== undefined || other === undefined) return this.#difference;
    const [id, { lots, entry }] = other;
    return `entry ${entry} did not make order ${id} of ${lots} lots, and now does`;
  }
}

function orderOf(value: unknown): { readonly id: string; readonly lots: number } | undefined {
  if (typeof value !== "object" || value === null || !("id" in value && "lots" in value)) {
    return undefined;
  }
  const { id, lots } = value;
  return typeof id === "string" && typeof lots === "number" ? { id, lots } : undefined;
}
