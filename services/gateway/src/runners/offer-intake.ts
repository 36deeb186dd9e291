import type { PublishResult } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { type QueueRecord, RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type CallContext, type Clock, type ClockTimer, sleep } from "@qmtl/service-kit";
import { type PublishPorts, publishRows, type TicketedBatch } from "../feed/publish-rows.ts";

/** Largest number of records of one feed that wait, and of these that are offered together. */
const offeredMax = 256;
const offeredTogetherMax = 64;
/** So many records of computed nodes may wait before the next frame with some is taken. */
const computedMax = 20_000;
/** Largest number of these that go to the log together. */
const togetherMax = 1_000;
/** Longest time that records are held back from the log, milliseconds. */
const heldBackMsMax = 100;
/** Pause before a record that the log holds is sent to it again, milliseconds. */
const heldPauseMs = 250;

interface RecordPorts {
  readonly publish: PublishPorts;
  readonly context: CallContext;
  /** The newest ticket of the session. */
  readonly ticket: () => string;
  readonly clock: Clock;
  /** Records are not effective; `refusal`: none of them was stored. */
  voided(records: readonly VoidedRecord[], refusal?: unknown): void;
}

interface VoidedRecord {
  readonly record: QueueRecord;
  readonly fault: RecordFault;
}

/**
 * What one stream offers of one feed. All that waits is offered at the barrier together; it passes slice by slice, or as
 * a batch.
 */
class OfferedFeed {
  readonly #ports: RecordPorts;
  #waiting: QueueRecord[] = [];
  #passing: PassingRecords | undefined;
  #isRunning = false;

  constructor(ports: RecordPorts) {
    this.#ports = ports;
  }

  /** Records are kept in the order in which the log takes them, whatever the order in which they come. */
  add(record: QueueRecord): void {
    const at = this.#waiting.findIndex((one) => compare(record, one) <= 0);
    const place = at < 0 ? this.#waiting.length : at;
    const next = this.#waiting[place];
    if (next !== undefined && compare(record, next) === 0) return;
    if (this.#waiting.length >= offeredMax) {
      const message = `${offeredMax} records of one feed wait`;
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 1_000 });
    }
    this.#waiting.splice(place, 0, record);
    // One that comes before others that wait has to be offered before them.
    const last = this.#passing?.records.at(-1);
    if (last !== undefined && compare(record, last) < 0) this.#passing?.call.abort();
  }

  /** Offers what was added. */
  pass(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  /** Takes back what has not passed. A record on its way to the log arrives there. */
  withdraw(): void {
    this.#waiting = [];
    this.#passing?.call.abort();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const passing = {
        records: this.#waiting.slice(0, offeredTogetherMax),
        call: new AbortController(),
      };
      this.#passing = passing;
      const refused = await this.#pass(passing);
      this.#passing = undefined;
      if (refused === undefined || !this.#waiting.includes(refused.record)) continue;
      const { record, fault } = refused;
      if (fault === RecordFault.HELD) {
        await sleep(this.#ports.clock, heldPauseMs);
        continue;
      }
      // Whatever the session offers behind it under the same epoch is void, too.
      const { leaseEpoch } = record;
      const own = [record, ...this.#waiting.slice(this.#waiting.indexOf(record) + 1)].filter(
        (one) => one.leaseEpoch <= leaseEpoch,
      );
      this.#waiting = this.#waiting.filter((one) => !own.includes(one));
      if (fault instanceof Error) {
        const unstored = own.map((one) => ({ record: one, fault: RecordFault.UNSPECIFIED }));
        this.#ports.voided(unstored, fault);
      } else this.#ports.voided(own.map((one) => ({ record: one, fault })));
    }
    this.#isRunning = false;
  }

  /** Resolves to the first record that is not effective, and why, or what failed; undefined when all are, or to go on. */
  async #pass({ records, call }: PassingRecords): Promise<RefusedRecord | undefined> {
    const { signal } = call;
    let refused: RefusedRecord | undefined;
    const answered = (index: number, { effective, fault }: PublishResult): void => {
      const record = records[index]!;
      if (effective) this.#waiting = this.#waiting.filter((one) => one !== record);
      else refused ??= { record, fault };
    };
    try {
      await publishWith(this.#ports, { records, answered }, signal);
      return refused;
    } catch (failure) {
      const record = records.find((one) => this.#waiting.includes(one));
      if (refused !== undefined || signal.aborted || record === undefined) return refused;
      if (hasReason(failure, "BARRIER_HELD")) return { record, fault: RecordFault.HELD };
      return { record, fault: failure instanceof Error ? failure : new Error(String(failure)) };
    }
  }
}

/** Records that are offered together. */
interface PassingRecords {
  readonly records: readonly QueueRecord[];
  readonly call: AbortController;
}

interface RefusedRecord {
  readonly record: QueueRecord;
  readonly fault: RecordFault | Error;
}

/** Order of two records in the log of their queue: by epoch, a START first, then by seq. */
function compare(a: QueueRecord, b: QueueRecord): number {
  const place = ({ leaseEpoch, seq, body }: QueueRecord): bigint[] => [
    leaseEpoch,
    body.case === "start" ? 0n : 1n,
    seq,
  ];
  const other = place(b);
  for (const [at, own] of place(a).entries())
    if (own !== other[at]) return own < other[at]! ? -1 : 1;
  return 0;
}

/** The records that one stream sends: those of feeds wait at the barrier, those of computed nodes go to the log. */
export class OfferIntake {
  readonly #ports: RecordPorts;
  readonly #feeds = new Map<string, OfferedFeed>();
  readonly #stop = new AbortController();
  #computed: QueueRecord[] = [];
  /** Those after them that are held back. */
  #heldBack: QueueRecord[] = [];
  #heldBackTimer: ClockTimer | undefined;
  #hasTaken: () => void = () => {};
  #isRunning = false;

  constructor(ports: RecordPorts) {
    this.#ports = ports;
  }

  /** @throws {QmtlError} TOO_MANY_REQUESTS. */
  offer(records: readonly QueueRecord[]): void {
    const offering = new Set<OfferedFeed>();
    for (const record of records) {
      const feed = this.#feeds.get(record.computeKey) ?? new OfferedFeed(this.#ports);
      this.#feeds.set(record.computeKey, feed);
      feed.add(record);
      offering.add(feed);
    }
    for (const feed of offering) feed.pass();
  }

  withdraw(computeKeys: Iterable<string> = this.#feeds.keys()): void {
    for (const key of computeKeys) this.#feeds.get(key)?.withdraw();
  }

  /** Appends records of computed nodes, in the order in which they come. Resolves once fewer than `computedMax` wait. */
  async compute(records: readonly QueueRecord[]): Promise<void> {
    if (records.length === 0) return;
    this.#heldBack.push(...records);
    this.#release();
    while (this.#computed.length >= computedMax && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#hasTaken = resolve;
      });
    }
  }

  /**
   * The same for records of a slice that nobody waits for. They go to the log once `over` has settled, so that they do
   * not come before the orders of the slice and are appended with the rows of the next; or with what comes first: later
   * records of the stream, or 100 ms.
   */
  async computeAfter(records: readonly QueueRecord[], over: Promise<unknown>): Promise<void> {
    if (this.#heldBack.length + records.length >= togetherMax) return this.compute(records);
    if (records.length === 0) return;
    this.#heldBack.push(...records);
    const release = (): void => this.#release();
    this.#heldBackTimer ??= this.#ports.clock.setTimer(release, heldBackMsMax);
    over.then(release, release);
  }

  #release(): void {
    this.#heldBackTimer?.cancel();
    this.#heldBackTimer = undefined;
    if (this.#heldBack.length === 0) return;
    this.#computed.push(...this.#heldBack.splice(0));
    this.#appendSoon();
  }

  #appendSoon(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#append();
  }

  stop(): void {
    this.#stop.abort();
    this.#heldBackTimer?.cancel();
    this.#hasTaken();
    this.withdraw();
  }

  async #append(): Promise<void> {
    const { voided } = this.#ports;
    const { signal } = this.#stop;
    while (this.#computed.length > 0 && !signal.aborted) {
      const records = this.#computed.splice(0, togetherMax);
      this.#hasTaken();
      try {
        const results = await publishWith(this.#ports, { records }, signal);
        const faulty = records.flatMap((record, at) => {
          const { effective, fault = RecordFault.UNSPECIFIED } = results[at] ?? {};
          return effective === true ? [] : [{ record, fault }];
        });
        if (faulty.length > 0) voided(faulty);
      } catch (failure) {
        const fault = RecordFault.UNSPECIFIED;
        voided(
          records.map((record) => ({ record, fault })),
          failure,
        );
      }
    }
    this.#isRunning = false;
  }
}

async function publishWith(
  { publish, context, ticket }: RecordPorts,
  batch: Omit<TicketedBatch, "ticket">,
  signal: AbortSignal,
) {
  const { principal, session, metadata } = context;
  const own = { principal, session, metadata, signal, timeoutMs: undefined };
  const { results } = await publishRows(publish, { ...batch, ticket: ticket() }, own);
  return results;
}
