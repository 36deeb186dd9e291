import { blake3Hex } from "@qmtl/core/canonical";
import { type BatchInput, compilePlan, runBatch } from "@qmtl/core/dataflow";
import {
  AccountCore,
  type AccountOp,
  type AccountOutcome,
  type PretradeLimits,
  type RouterOptions,
  type RouterOrder,
} from "@qmtl/core/execution";
import { toRuntimeGraph } from "../../strategy/graphs.ts";
import { type Strategy, StreamInput } from "../../strategy/index.ts";
import { sourcesOf, streamRows } from "../offline/compute.ts";
import { compileOfflineOptions, type OfflineOptions } from "../offline/offline-options.ts";
import { withFlatEnd } from "../signals/ended-signal.ts";
import { loadSourceRows, rowsUntil, type SourceRows } from "../source-files/source-rows.ts";
import {
  type IdentifiedStrategy,
  identifyStrategy,
} from "../strategy-loading/identify-strategy.ts";
import type { StrategyClass } from "../strategy-loading/strategy-module.ts";
import { parseReplayOp, type ReplayOp } from "./replay-op.ts";
import { type SessionRecord, SessionRecordError, type SessionRow } from "./session-record.ts";

/** Largest number of differences listed; there may be more. */
export const replayDifferencesMax = 20;

/** What a replay found about the orders of origin `target`. */
export interface ReplayOutcome {
  /** True: every such order of the session was made again, with id, lots and bucket, and no other. */
  readonly identical: boolean;
  /** Number of orders of origin `target` that the session recorded for the strategy. */
  readonly total: number;
  /** How many of them were made again unchanged. */
  readonly same: number;
  /** In words, at most {@link replayDifferencesMax}. */
  readonly differences: readonly string[];
}

/**
 * Runs a recorded session again, offline: the nodes over the recorded buckets (warmed by the configuration's rows
 * before them), the router over the journal, with each target that the session journaled for the strategy replaced by
 * the one its nodes give now. Everything from outside (fills, reports, gates, halts, allocations, orders of other
 * origins) is taken as recorded.
 *
 * A target that changed and was never journaled cannot be seen: the record does not say when the gate was shut.
 *
 * @param given the strategy that was recorded: its class, or an instance of it
 * @param record the session, as `readSessionRecord` returns it
 * @param options configuration and module; the configuration's files must hold the rows before the session. @default {}
 * @returns whether every order was made again, and the differences
 * @throws {SessionRecordError | DeclarationError | StrategyRunError | CsvError | ComputeError}
 */
export async function replaySession(
  given: StrategyClass | Strategy,
  record: SessionRecord,
  options: Pick<OfflineOptions, "config" | "configPath" | "module"> = {},
): Promise<ReplayOutcome> {
  if (record.journal.length === 0) {
    throw new SessionRecordError(
      "the record has no journal: its session did not end in an orderly way",
    );
  }
  const compiled = compileOfflineOptions(options);
  const worldId = record.header.world_id;
  const identified = identifyStrategy(given, { worldId, module: compiled.module });
  const feeds = new Map<string, SourceRows>();
  for (const name of sourcesOf(identified)) {
    feeds.set(name, await loadSourceRows(compiled.config, name, "all"));
  }
  const targets = recomputeTargets(identified, feeds, record.rows);
  const journal = record.journal.map(({ entry, body }) => readOp(entry, body));
  const { made, missing } = rerun(record, journal, targets);
  return compare(record, journal, made, missing);
}

/** A target as a bucket has it. */
interface ReplayTarget {
  readonly value: number;
  /** Row at which it was last to be sized; −1 for none. */
  readonly sizedRow: number;
}

/** The targets of an instrument: `held[k]` from the bucket that ends at `endMs[k]` on, until the next one. */
interface TargetColumn {
  readonly endMs: Float64Array;
  readonly held: readonly ReplayTarget[];
}

/** Target columns by instrument. */
type Targets = ReadonlyMap<string, TargetColumn>;

function recomputeTargets(
  identified: IdentifiedStrategy,
  feeds: ReadonlyMap<string, SourceRows>,
  rows: readonly SessionRow[],
): Targets {
  const { nodes } = identified.graph;
  const inputs = streamRows(identified, feeds).map((past) => {
    const { node, intervalSeconds } = nodes.find(({ id }) => id === past.nodeId)!.declared;
    const isContinuous = node instanceof StreamInput && node.schedule === "continuous";
    return withRecorded(
      past,
      rows.filter((row) => row.node_id === past.nodeId),
      isContinuous ? intervalSeconds * 1_000 : undefined,
    );
  });
  const wanted = identified.targets.map(({ nodeId }) => nodeId);
  const supplied = inputs.map((input) => input.nodeId);
  const plan = compilePlan({ graph: toRuntimeGraph(identified.graph), supplied, wanted });
  const used = inputs.filter((input) => plan.nodeIndex.has(input.nodeId));
  const { columns } = runBatch({ plan, inputs: used, collect: wanted });
  const ends = inputs.map(({ endMs }) => endMs);
  return new Map(
    identified.targets.map(({ nodeId, node, intervalMs }) => {
      const { endMs, values, firstRow } = columns.get(nodeId)!;
      const column = { endMs, values: Float64Array.from(values[0] ?? [], Number), firstRow };
      const ended = withFlatEnd(column, node.stale, intervalMs, ends);
      const sizedRows = values[node.sizedRowOutput] ?? [];
      return [node.instrument, heldTargets(ended.endMs, ended.values, sizedRows, rows[0]?.end_ms)];
    }),
  );
}

/** A row without a target keeps the previous one, and a session begins with that of the last row up to its first. */
function heldTargets(
  endMs: Float64Array,
  values: ArrayLike<unknown>,
  sizedRows: ArrayLike<unknown>,
  firstMs: number | undefined,
): TargetColumn {
  const none: ReplayTarget = { value: 0, sizedRow: -1 };
  const first = firstMs === undefined ? -1 : rowsUntil(endMs, firstMs) - 1;
  let before = none;
  const held = Array.from(endMs, (_, row) => {
    if (row === first) before = none;
    const value = Number(values[row] ?? Number.NaN);
    const sizedRow = Number(sizedRows[row] ?? Number.NaN);
    before = {
      value: Number.isNaN(value) ? before.value : value,
      sizedRow: Number.isNaN(sizedRow) ? before.sizedRow : sizedRow,
    };
    return before;
  });
  return { endMs, held };
}

/**
 * The target that holds at the end of a bucket. It may be stated at one of another feed: a session that takes over, or
 * whose gate opens, states all of its targets. Undefined before the first.
 */
function targetAt(column: TargetColumn | undefined, bucketMs: number): ReplayTarget | undefined {
  return column?.held[rowsUntil(column.endMs, bucketMs) - 1];
}

/**
 * Rows before the first recorded one come from the files, the others from the record, where a gap is a missing bucket.
 * It ends with the row of the file that has its number; on a continuous schedule, where the file has no row for it and
 * rows are numbered from the epoch, as its number says.
 *
 * @param continuousMs length of the buckets of a continuous stream, milliseconds; undefined for one that is observed
 */
function withRecorded(
  past: BatchInput,
  rows: readonly SessionRow[],
  continuousMs: number | undefined,
): BatchInput {
  const [first] = rows;
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return past;
  const kept = past.endMs.findIndex((end) => end >= first.end_ms);
  const count = kept < 0 ? past.endMs.length : kept;
  const firstRow = first.row - count;
  const byRow = new Map(rows.map((row) => [row.row, row]));
  const later = Array.from({ length: last.row - first.row + 1 }, (_, k) =>
    byRow.get(first.row + k),
  );
  const endOf = (row: SessionRow | undefined, k: number): number => {
    const inGap =
      continuousMs === undefined ? past.endMs[count + k] : (first.row + k + 1) * continuousMs;
    const end = row?.end_ms ?? inGap;
    if (end !== undefined) return end;
    throw new SessionRecordError(`row ${first.row + k} is neither in the record nor in the files`);
  };
  return {
    nodeId: past.nodeId,
    firstRow,
    endMs: Float64Array.from([...past.endMs.subarray(0, count), ...later.map(endOf)]),
    columns: past.columns.map((column, k) =>
      Float64Array.from([
        ...column.slice(0, count).map(Number),
        ...later.map((row) => row?.values?.[k] ?? Number.NaN),
      ]),
    ),
    missing: Uint8Array.from([
      ...new Uint8Array(count),
      ...later.map((row) => (row?.values == null ? 1 : 0)),
    ]),
  };
}

function rerun(
  record: SessionRecord,
  journal: readonly ReplayOp[],
  targets: Targets,
): { made: ReplayRouter["made"]; missing: string[] } {
  const { header, weights } = record;
  const router = new ReplayRouter({
    account: header.account_id,
    instruments: header.instruments.map(({ symbol, lotSize, tick, multiplier }) => ({
      symbol,
      lotSize,
      ...(tick === undefined ? {} : { tick }),
      ...(multiplier === undefined ? {} : { multiplier }),
    })),
    initialCash: header.initial_cash,
    hashHex: blake3Hex,
    limits: limitsBefore(journal) ?? definedOf(header.limits),
  });
  const missing: string[] = [];
  for (const op of journal) {
    if (op.op !== "set_target" || !isOwn(record, op)) {
      router.apply(op);
      continue;
    }
    const target = targetAt(targets.get(op.instrument), op.bucket);
    if (target === undefined) {
      missing.push(`${op.instrument} at ${iso(op.bucket)}: the nodes give no target in the replay`);
      continue;
    }
    const { value: stated, sizedRow } = target;
    const weight = weights.findLast(({ from_ms }) => from_ms <= op.bucket);
    const share = weight === undefined ? 1 : stated > 0 ? weight.long : weight.short;
    router.apply({ ...op, value: stated === 0 ? 0 : stated * share, sizedRow });
  }
  return { made: router.made, missing };
}

/**
 * The limits under which a journal began: the first that it states, which also applied to the entries before. Undefined
 * for a journal that states none.
 */
function limitsBefore(journal: readonly ReplayOp[]): PretradeLimits | undefined {
  for (const op of journal) {
    if (op.op === "settings" && op.limits !== undefined) return op.limits;
  }
  return undefined;
}

function definedOf(limits: SessionRecord["header"]["limits"]): PretradeLimits {
  return Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined));
}

function isOwn(record: SessionRecord, of: { world: string; strategy: string }): boolean {
  return of.world === record.header.world_id && of.strategy === record.header.strategy_id;
}

type RecordedOrder = NonNullable<Extract<ReplayOp, { op: "note" }>["order"]>;

function compare(
  record: SessionRecord,
  journal: readonly ReplayOp[],
  made: ReplayRouter["made"],
  missing: readonly string[],
): ReplayOutcome {
  const ours = (order: RecordedOrder): boolean => isOwn(record, order) && order.origin === "target";
  const recorded = journal.flatMap((op) =>
    op.op === "note" && op.order !== undefined && ours(op.order) ? [op.order] : [],
  );
  const again = new Map(made.filter(ours).map((order) => [order.id, order]));
  const differences = [...missing];
  let same = 0;
  for (const order of recorded) {
    const now = again.get(order.id);
    again.delete(order.id);
    if (now === undefined) differences.push(`${textOf(order)} is not made in the replay`);
    else if (now.lots !== order.lots)
      differences.push(`${textOf(order)} has ${now.lots} lots in the replay`);
    else if (now.bucket !== order.bucket)
      differences.push(`${textOf(order)} is of ${iso(now.bucket)} in the replay`);
    else same++;
  }
  for (const order of again.values()) differences.push(`${textOf(order)} was not in the session`);
  return {
    identical: differences.length === 0,
    total: recorded.length,
    same,
    differences: differences.slice(0, replayDifferencesMax),
  };
}

function textOf({ id, instrument, lots, bucket }: RecordedOrder): string {
  return `order ${id} (${lots} lots of ${instrument}, ${iso(bucket)})`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function readOp(entry: number, body: unknown): ReplayOp {
  try {
    return parseReplayOp(body);
  } catch (cause) {
    const message = `journal entry ${entry} has no operation that a replay knows`;
    throw new SessionRecordError(message, { cause });
  }
}

/** Drives the core of an account by the operations of a journal, and collects the orders that they make. */
export class ReplayRouter {
  readonly core: AccountCore;
  readonly made: Readonly<RouterOrder>[] = [];

  constructor(options: RouterOptions) {
    this.core = new AccountCore(options);
  }

  /**
   * Performs one operation. A fill of an order that was not made this time has no effect; the comparison of orders
   * reports that order.
   */
  apply(op: AccountOp): AccountOutcome {
    const outcome = this.core.apply(op);
    for (const effect of outcome.effects) {
      if (effect.kind === "send") this.made.push({ ...effect.order });
    }
    return outcome;
  }
}
