import { type Client, Code } from "@connectrpc/connect";
import type { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  RecordFault,
  type QueueRecord as WireRecord,
} from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { publishRecordsMax, sourceWindowMax } from "@qmtl/core/queues";
import { pause, type SdkClock } from "../../../control/clock.ts";
import type { TicketedCalls } from "../../../control/ticket-keeper.ts";
import { hasReason, QmtlError } from "../../../rpc/qmtl-error.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { QueueReplica } from "./queue-replica.ts";
import { type CarriedRecord, wireRecord } from "./wire-records.ts";

interface PublisherOptions {
  readonly data: Client<typeof QueueDataService>;
  readonly clock: SdkClock;
  readonly tickets: TicketedCalls;
  /** Timeout of one call, milliseconds: long for a source, whose rows a barrier may hold. */
  readonly timeoutMs: number;
  /**
   * A barrier may hold the rows for as long as an operator likes: an exceeded deadline is not reported. @default false
   */
  readonly mayWaitAtBarrier?: boolean;
  /** Largest number of records in one call. @default `publishRecordsMax` */
  readonly batchMax?: number;
  readonly listener: PublishListener;
  readonly reports: Pick<RunReports, "problem">;
}

/** Notified of the records of a session. Implemented by `RunParts`. */
export interface PublishListener {
  /** A record is not effective and never will be. */
  recordRefused(fault: RecordFault): void;
}

const againMs = 100;
const againMsMax = 2_000;
/** If a held row was answered faster than this, it is sent again only after a pause of this length, milliseconds. */
const heldPauseMs = 250;

/**
 * Appends records, one call at a time so that the order of each key is kept; records that arrive meanwhile go into the
 * next call. A call without an answer is repeated; the log counts a repeated record once.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #stop = new AbortController();
  readonly #waiting = new Map<string, WireRecord>();
  #underWay = new Set<string>();
  #isRunning = false;
  #done: Promise<void> = Promise.resolve();

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Sends the records with the next call; one that waits or is on its way already is not sent twice. */
  send(records: readonly WireRecord[]): void {
    for (const record of records) {
      const name = nameOf(record);
      if (!this.#underWay.has(name)) this.#waiting.set(name, record);
    }
    if (this.#isRunning || this.#waiting.size === 0) return;
    this.#isRunning = true;
    this.#done = Promise.resolve().then(() => this.#run());
  }

  /** Drops waiting records and cancels calls. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const signal = this.#stop.signal;
    while (this.#waiting.size > 0 && !signal.aborted) {
      const batch = [...this.#waiting].slice(0, this.#options.batchMax ?? publishRecordsMax);
      for (const [name] of batch) this.#waiting.delete(name);
      this.#underWay = new Set(batch.map(([name]) => name));
      const sentMs = clock.nowMs();
      const held = await this.#call(batch.map(([, record]) => record));
      this.#underWay.clear();
      if (held.length === 0 || signal.aborted) continue;
      if (clock.nowMs() - sentMs < heldPauseMs) await pause(clock, heldPauseMs, signal);
      for (const record of held) this.#waiting.set(nameOf(record), record);
    }
    this.#isRunning = false;
  }

  /** Sends one batch until it is answered; returns the records that a barrier holds. */
  async #call(records: readonly WireRecord[]): Promise<WireRecord[]> {
    const { data, tickets, timeoutMs, clock, listener, reports } = this.#options;
    const signal = this.#stop.signal;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const publish = (ticket: string) =>
          data.publish({ ticket, records: [...records] }, { signal, timeoutMs });
        const answer = await tickets.call(publish, signal);
        const held: WireRecord[] = [];
        answer.results.forEach((result, at) => {
          const record = records[at];
          if (result.effective || record === undefined) return;
          if (result.fault === RecordFault.HELD) held.push(record);
          else listener.recordRefused(result.fault);
        });
        return held;
      } catch (failure) {
        if (signal.aborted) return [];
        if (hasReason(failure, "BARRIER_HELD") || this.#isWait(failure)) return [...records];
        reports.problem(failure instanceof Error ? failure.message : String(failure));
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
      }
    }
    return [];
  }

  /** The channel itself repeats a held call, so a wait at a barrier may end with an exceeded deadline. */
  #isWait(failure: unknown): boolean {
    const isLate = failure instanceof QmtlError && failure.code === Code.DeadlineExceeded;
    return isLate && this.#options.mayWaitAtBarrier === true;
  }
}

function nameOf(record: WireRecord): string {
  return `${record.computeKey}/${record.leaseEpoch}/${record.body.case}/${record.seq}`;
}

/** Time for which a barrier may hold the Publish call of a source before the call is repeated, milliseconds. */
const heldMsMax = 30_000;
const computedMsMax = 10_000;

type RunPublishersOptions = Pick<
  PublisherOptions,
  "data" | "clock" | "tickets" | "reports" | "listener"
>;

/** One publisher for each source, whose rows a barrier may hold, and one for everything that is computed. */
export class RunPublishers {
  readonly #options: RunPublishersOptions;
  readonly #publishers = new Map<string, Publisher>();

  constructor(options: RunPublishersOptions) {
    this.#options = options;
  }

  publish(replica: QueueReplica, records: readonly CarriedRecord[]): void {
    const { isSource } = replica.identity;
    const name = isSource ? replica.computeKey : "computed";
    let publisher = this.#publishers.get(name);
    if (publisher === undefined) {
      publisher = new Publisher({
        ...this.#options,
        timeoutMs: isSource ? heldMsMax : computedMsMax,
        ...(isSource ? { batchMax: sourceWindowMax, mayWaitAtBarrier: true } : {}),
      });
      this.#publishers.set(name, publisher);
    }
    publisher.send(records.map((record) => wireRecord(replica.computeKey, record)));
  }

  /** Drops waiting records and cancels calls. */
  async stop(): Promise<void> {
    await Promise.all([...this.#publishers.values()].map((each) => each.stop()));
  }
}
