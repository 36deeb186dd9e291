import type { QueueRecord as WireRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";

/** Names a record of a queue. */
interface RecordName {
  readonly leaseEpoch: bigint;
  readonly seq: bigint;
  readonly start: boolean;
}

interface SentQueue {
  readonly isFeed: boolean;
  readonly records: Map<string, WireRecord>;
}

/**
 * The records that were sent and are not known to be effective, nor void: sent again after a break. A record is answered
 * when it, or a later one of its queue, is read back.
 */
export class ResendBuffer {
  readonly #queues = new Map<string, SentQueue>();

  /** Adds records of a queue, and returns those that are new. */
  add(computeKey: string, records: readonly WireRecord[], isFeed: boolean): WireRecord[] {
    const queue = this.#queues.get(computeKey) ?? { isFeed, records: new Map() };
    this.#queues.set(computeKey, queue);
    return records.filter((record) => {
      const name = nameOf(record);
      if (queue.records.has(name)) return false;
      queue.records.set(name, record);
      return true;
    });
  }

  /** All of them, in order per queue. */
  all(): { readonly offered: WireRecord[]; readonly computed: WireRecord[] } {
    const offered: WireRecord[] = [];
    const computed: WireRecord[] = [];
    for (const { isFeed, records } of this.#queues.values())
      (isFeed ? offered : computed).push(...records.values());
    return { offered, computed };
  }

  find(computeKey: string, name: RecordName): WireRecord | undefined {
    return this.#queues.get(computeKey)?.records.get(textOf(name));
  }

  /** Whether a record of a queue of this kind is not answered. */
  has(record: WireRecord, isFeed: boolean): boolean {
    const queue = this.#queues.get(record.computeKey);
    return queue?.isFeed === isFeed && queue.records.has(nameOf(record));
  }

  /** A record will not be sent again. */
  answered(record: WireRecord): void {
    this.#queues.get(record.computeKey)?.records.delete(nameOf(record));
  }

  /** Nothing of a queue will be sent again. */
  forget(computeKey: string): void {
    this.#queues.delete(computeKey);
  }

  /** A record was read: it is effective, and so is, or was not, what was sent before it. */
  read({ computeKey, leaseEpoch, seq, body }: WireRecord): void {
    const queue = this.#queues.get(computeKey);
    if (queue === undefined) return;
    const nextSeq = seq + BigInt(body.case === "rows" ? body.value.count : 1);
    for (const [name, own] of queue.records) {
      const isStart = own.body.case === "start";
      const isDone =
        own.leaseEpoch < leaseEpoch ||
        (own.leaseEpoch === leaseEpoch &&
          (isStart || (body.case !== "start" && own.seq < nextSeq)));
      // They were sent in order: what follows is later.
      if (!isDone) break;
      queue.records.delete(name);
    }
    if (queue.records.size === 0) this.#queues.delete(computeKey);
  }
}

function nameOf({ leaseEpoch, seq, body }: WireRecord): string {
  return textOf({ leaseEpoch, seq, start: body.case === "start" });
}

function textOf({ leaseEpoch, seq, start }: RecordName): string {
  return `${leaseEpoch}/${start ? "start" : seq}`;
}
