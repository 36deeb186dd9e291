import type { QueueRecord, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { publishBytesMax, publishRecordsMax, recordBytesMax } from "@qmtl/core/queues";
import { QmtlError } from "@qmtl/sdk/rpc";
import { failpoints, KeyedSerialQueue, type Leadership } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";
import { AppendBatch } from "./append-batch.ts";
import { appendKnown } from "./append-known.ts";
import { encodedRecord } from "./encoded-record.ts";
import { JoinedAppends } from "./joined-appends.ts";
import {
  feedLimits,
  findEntry,
  type HeadRow,
  headAfter,
  lockHeads,
  readEntries,
  writeAppend,
} from "./log-tables.ts";
import type { LogTail } from "./log-tail.ts";
import type {
  AppendResult,
  LogEntry,
  LogHead,
  LogPosition,
  QueueLog,
  ReadPosition,
  SourcePins,
} from "./queue-log.ts";
import { KINDS, runLength } from "./record-run.ts";

/** Largest number of heads kept; the least recently written is dropped first. */
const keptHeadsMax = 4_096;

const isStart = `e.kind = ${KINDS.start}`;
const isData = `e.kind <> ${KINDS.start}`;

/** What else happens in the transaction of an append, and after it. */
interface AppendHooks {
  /** Called in the transaction, at the first START of a source: its feed begins at `row`. */
  onOrigin(tx: Tx, source: string, row: number): Promise<void>;
  /** Called with the entries once they are committed. */
  onAppended(entries: readonly LogEntry[]): void;
  /** Called for each void record. */
  onVoid(fault: RecordFault): void;
}

/**
 * The log in the service's own database, embedded or PostgreSQL. An append is one transaction that locks the heads,
 * folds, inserts and updates; where the heads are known from an earlier append, it is one statement, which writes only
 * if they have not moved since. Void records are refused and never stored, so what is stored is effective; readers fold
 * all the same.
 */
export class DatabaseLog implements QueueLog {
  readonly #db: Db;
  readonly #tail: LogTail;
  readonly #hooks: AppendHooks;
  readonly #leadership: Leadership;
  /** Runs the appends of one key one after the other, so that each folds over what the one before left. */
  readonly #appends = new KeyedSerialQueue();
  readonly #kept = new KeptHeads();
  readonly #known: JoinedAppends;

  constructor(db: Db, tail: LogTail, leadership: Leadership, hooks: AppendHooks) {
    this.#db = db;
    this.#tail = tail;
    this.#leadership = leadership;
    this.#hooks = hooks;
    this.#known = new JoinedAppends(({ heads, entries }) =>
      appendKnown(db, heads, entries, leadership.holder),
    );
  }

  append(records: readonly QueueRecord[], pins: SourcePins): Promise<AppendResult[]> {
    checkSizes(records);
    const keys = [...new Set(records.map((record) => record.computeKey))];
    return this.#appends.run(keys, async () => {
      const done = await this.#store(keys, records, pins);
      await failpoints.hit("dag.publish.after_commit");
      const { entries, voids } = done.outcome();
      if (entries.length > 0) {
        this.#tail.add(entries);
        this.#hooks.onAppended(entries);
      }
      for (const fault of voids) this.#hooks.onVoid(fault);
      return done.results();
    });
  }

  async heads(keys: readonly string[]): Promise<Map<string, LogHead>> {
    const rows = await this.#db.query<{
      compute_key: string;
      next_offset: number;
      next_seq: number;
    }>(
      "select compute_key, next_offset, next_seq from dag.queue_head where compute_key = any($1::text[])",
      [keys],
    );
    return new Map(
      rows.map((row) => [row.compute_key, { nextOffset: row.next_offset, nextSeq: row.next_seq }]),
    );
  }

  async locate(computeKey: string, position: LogPosition): Promise<ReadPosition> {
    const db = this.#db;
    // Read before the search, so that an entry appended meanwhile is not skipped.
    const head = (await this.heads([computeKey])).get(computeKey);
    if (head === undefined) {
      throw new QmtlError("QUEUE_NOT_FOUND", `no queue for ${computeKey}`, {
        metadata: { compute_key: computeKey },
      });
    }
    if (position.kind === "seq" && position.seq > head.nextSeq) throw beyondLog(computeKey, head);
    let [offset, seq] = [0, 0];
    if (position.kind === "tail") [offset, seq] = [head.nextOffset, head.nextSeq];
    // To read from the first record is to read from offset 0: the first START alone says where the rows begin.
    else if (position.kind !== "first" && !(position.kind === "seq" && position.seq <= 0)) {
      const [where, value] = condition(position);
      const found = await findEntry(db, computeKey, where, value, "oldest");
      offset = found?.offset ?? head.nextOffset;
      seq = found?.seq ?? head.nextSeq;
      if (position.kind === "seq") seq = Math.max(seq, position.seq);
    }
    const start = await findEntry(
      db,
      computeKey,
      `${isStart} and e.log_offset < $2`,
      offset,
      "newest",
    );
    return { offset, seq, start };
  }

  async #store(
    keys: readonly string[],
    records: readonly QueueRecord[],
    pins: SourcePins,
  ): Promise<AppendBatch> {
    try {
      const known = await this.#storeKnown(keys, records, pins);
      return known ?? (await this.#storeLocked(keys, records, pins));
    } catch (error) {
      this.#kept.forget(keys);
      throw error;
    }
  }

  /** The usual append: one statement, over heads that are known. Resolves to undefined when that is not possible. */
  async #storeKnown(
    keys: readonly string[],
    records: readonly QueueRecord[],
    pins: SourcePins,
  ): Promise<AppendBatch | undefined> {
    const kept = this.#kept.all(keys);
    if (kept === undefined) return undefined;
    const heads = kept.map(({ head }) => head);
    const batch = new AppendBatch(heads, limitsOf(kept), records, pins);
    batch.run();
    if (!batch.isPlain) return undefined;
    await failpoints.hit("dag.publish.before_commit");
    const { entries, heads: updates } = batch.outcome();
    const known = updates.map((update, at) => ({ before: heads[at]!, update }));
    if (!(await this.#known.write({ heads: known, entries }))) return undefined;
    for (const [at, { before, update }] of known.entries())
      this.#kept.keep({ head: headAfter(before, update), untilMs: kept[at]!.untilMs });
    return batch;
  }

  async #storeLocked(
    keys: readonly string[],
    records: readonly QueueRecord[],
    pins: SourcePins,
  ): Promise<AppendBatch> {
    let locked: HeadRow[] = [];
    let limits = new Map<string, number | null>();
    const batch = await this.#db.transaction(async (tx) => {
      await this.#leadership.assertLeads(tx);
      locked = await lockHeads(tx, keys);
      limits = await feedLimits(tx, locked);
      const work = new AppendBatch(locked, limits, records, pins);
      work.run();
      await work.confirmRepeats(
        (key, seq) => findEntry(tx, key, `${isData} and e.seq <= $2`, seq, "newest"),
        (key, epoch) => findEntry(tx, key, `${isStart} and e.epoch = $2`, epoch, "newest"),
      );
      const { entries, heads, origins } = work.outcome();
      if (heads.length > 0) await writeAppend(tx, entries, heads);
      for (const { source, row } of origins) await this.#hooks.onOrigin(tx, source, row);
      await failpoints.hit("dag.publish.before_commit");
      return work;
    });
    const updates = new Map(batch.outcome().heads.map((update) => [update.computeKey, update]));
    for (const head of locked) {
      const untilMs = head.is_source ? limits.get(head.source) : null;
      // Not kept: another process may give a source without a feed one that has a limit.
      if (untilMs === undefined) continue;
      const update = updates.get(head.compute_key);
      this.#kept.keep({ head: update === undefined ? head : headAfter(head, update), untilMs });
    }
    return batch;
  }

  read(
    from: readonly { readonly computeKey: string; readonly offset: number }[],
    perKeyMax: number,
  ): Promise<LogEntry[]> {
    return readEntries(this.#db, from, perKeyMax);
  }
}

function limitsOf(kept: readonly KeptHead[]): Map<string, number | null> {
  return new Map(kept.map(({ head, untilMs }) => [head.source, untilMs]));
}

function condition(position: LogPosition): [string, number] {
  if (position.kind === "seq") return [`${isData} and e.seq + e.count > $2`, position.seq];
  if (position.kind === "row")
    return [`e.kind in (${KINDS.rows}, ${KINDS.empty}) and e.last_row >= $2`, position.row];
  if (position.kind === "known_at") return ["e.known_at_ms >= $2", position.knownAtMs];
  throw new Error(`no condition for ${position.kind}`);
}

function checkSizes(records: readonly QueueRecord[]): void {
  let bytes = 0;
  let count = 0;
  for (const [at, record] of records.entries()) {
    const size = encodedRecord(record).length;
    bytes += size;
    count += runLength(record);
    // A run may be as large as a call; its rows, on average, as large as a record.
    if (size / runLength(record) > recordBytesMax) tooLarge(`records[${at}]`, size, recordBytesMax);
  }
  if (bytes > publishBytesMax) tooLarge("records", bytes, publishBytesMax);
  if (count > publishRecordsMax) tooLarge("records", count, publishRecordsMax);
}

function tooLarge(field: string, size: number, max: number): never {
  throw new QmtlError("RECORD_TOO_LARGE", "more than one Publish takes", {
    fields: [{ field, description: `${size}, at most ${max}` }],
  });
}

/** Readers get only what is stored, so one that asks for a seq beyond the log has read from a store that is gone. */
function beyondLog(computeKey: string, { nextSeq }: LogHead): QmtlError {
  const message = `the log of ${computeKey} ends before what was read of it`;
  const metadata = { compute_key: computeKey, seq: String(nextSeq) };
  return new QmtlError("TRIMMED", message, { metadata });
}

/** A head as this process last wrote or read it, with the limit of its feed; null: no limit. */
interface KeptHead {
  readonly head: HeadRow;
  readonly untilMs: number | null;
}

/**
 * What this process knows about the heads of keys.
 *
 * What is kept may be stale, since another process may have appended. So it decides nothing alone: an append that was
 * folded over it is written only if the head in the database is still at the same offset.
 */
class KeptHeads {
  readonly #heads = new Map<string, KeptHead>();

  /** The heads of all keys, or undefined when one of them is not known. */
  all(keys: readonly string[]): KeptHead[] | undefined {
    const found: KeptHead[] = [];
    for (const key of keys) {
      const kept = this.#heads.get(key);
      if (kept === undefined) return undefined;
      found.push(kept);
    }
    return found;
  }

  keep(kept: KeptHead): void {
    const key = kept.head.compute_key;
    this.#heads.delete(key);
    this.#heads.set(key, kept);
    const oldest = this.#heads.keys().next();
    if (this.#heads.size > keptHeadsMax && oldest.done !== true) this.#heads.delete(oldest.value);
  }

  forget(keys: readonly string[]): void {
    for (const key of keys) this.#heads.delete(key);
  }
}
